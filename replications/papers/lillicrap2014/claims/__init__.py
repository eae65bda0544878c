"""The claims of lillicrap2014, fixed before the runs that judge them.

The paper prints three test errors; all else is read off figures or said in words, which stand in `expected`. Every bound
has its source in `evidence.json`, and has two sides: what does far better than its paper may be backpropagation left on.
Passing a bound from a pilot is a regression check on our own number. Of errors we take the mean of their logarithms.
"""

from replications.papers.lillicrap2014.claims import linear, mnist, student, theory

CLAIMS = (*linear.CLAIMS, *mnist.CLAIMS, *student.CLAIMS, *theory.CLAIMS)
