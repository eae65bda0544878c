"""The claims of lillicrap2014, fixed before the runs that judge them.

The paper prints three test errors. All other numbers are read off its figures, or stated in words that `expected` quotes.
Every tolerance has its source in `evidence.json`. A tolerance has two ends, because a result far better than the paper's may
mean that backpropagation was left on. A tolerance from a pilot only checks that our own number is unchanged. The mean over
errors is the mean over their logarithms.
"""

from replications.papers.lillicrap2014.claims import linear, mnist, student, theory

CLAIMS = (*linear.CLAIMS, *mnist.CLAIMS, *student.CLAIMS, *theory.CLAIMS)
