"""Every learning rule on every task under one protocol: ``python -m benchmarks.leaderboard`` measures and makes the page.

A row is a rule on a task in a preset. Each row is tuned by itself, with the same budget: one run per learning rate of the preset,
of the preset's tuning length, from a seed that no reported run has, judged on held-out training data. The network is then trained
with the chosen rate for the full length from every reported seed. The test data are read once per run.

Recovery is (rule - frozen) / (backprop - frozen): 0 is the network in which only the head learns, 1 is backpropagation. All three
are rows with learning rates of their own. Runs of equal seed share initial weights and the order of the data, so that recovery is
a ratio of means of paired differences. Its 95 % interval is Fieller's.
"""
