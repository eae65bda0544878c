"""The claims of lillicrap2014, fixed before the runs that judge them.

The paper prints three test errors; all else is read off figures or said in words, which stand in `expected`. The first
side of a bound is the spec's, the second is ours and was written down before any run: what does far better than its
paper may be backpropagation left on. A bound "pilot" was set from a pilot of one to three seeds, so that passing it is a
regression check on our own number. Where the spec asks for a median of errors we take the mean of their logarithms.
"""

from replications.lillicrap2014.claims import linear, mnist, student, theory

CLAIMS = (*linear.CLAIMS, *mnist.CLAIMS, *student.CLAIMS, *theory.CLAIMS)
