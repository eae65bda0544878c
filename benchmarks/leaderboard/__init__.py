"""Every learning rule on every task under one protocol: ``python -m benchmarks.leaderboard`` measures and makes the page.

A row is a rule on a task in a preset. Each row is tuned alone, by the same budget: one run per learning rate of the preset,
of the preset's shorter length, from a seed that no reported run has, judged on held-out training data. The chosen rate is
then trained for the full length from every reported seed, and the test data are read once per run.

Recovery is (rule - frozen) / (backprop - frozen): 0 is the network whose head alone learns, 1 is backpropagation. All three
are rows of their own with a learning rate of their own. Runs of equal seed share weights and order of the data, so that
recovery is a ratio of means of paired differences; its 95 % interval is Fieller's.
"""
