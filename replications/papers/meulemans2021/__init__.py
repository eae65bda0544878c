"""Meulemans et al. 2021: direct feedback alignment compared with backpropagation, each with its own tuning.

Paper
    "Credit Assignment in Neural Networks through Deep Feedback Control", NeurIPS 2021, arXiv 2106.07887. Table 1 compares
    the paper's own rule with backpropagation (BP) and direct feedback alignment (DFA). We replicate the rows of BP and DFA.

Claims
    The test error on MNIST and the test loss of an autoencoder have the values of table 1, and DFA is behind BP. CLAIMS says
    how each claim is judged.

Set-up
    From the paper: 3 x 256 tanh units and cross-entropy for 100 epochs, or 784-256-32-256-784 and the mean squared error for
    25 epochs. Adam. Test samples after the epoch that is best on 5000 held-out training samples. 5 seeds.

    From the authors' code: pixels less 0.1307, divided by 0.3081. Batches of 128. W normal with variance
    2/(fan in + fan out), b = 0. The 32 units and the outputs are linear. Learning rate and epsilon were tuned for each rule
    and task, and both betas of Adam are 0.99.

    Ours: the control `shallow`, in which only the last layer learns, with the settings of BP.

Differences
    We give DFA the gradient itself, whereas that of the code is 2 x 0.001/128 times as large. This factor changes nothing in
    Adam but its epsilon, which we divide by the factor (1.6e-3 and 3.3e-3 in place of 2.5e-8 and 5.2e-8). B is uniform,
    whereas the code draws a normal B of the same variance. We hold out the last 5000 training samples, whereas the code draws
    them at random. We compute in float32, whereas the code uses float64. The code takes the mean over batches, including a
    smaller last batch. Of the paper we had only the numbers of table 1.

Found
    All eight claims are reproduced. The control `shallow` of the autoencoder is not as good as it can be. Its last layer, trained
    as for BP, ends at 32.8 to 34.1. Least squares on the same random features reaches 31.7, 31.2 and 32.1 (seeds 0 to 2). DFA
    has 29.9, so that it is ahead of the best last layer too, but by less.

Cost
    full: 30 runs, 194 minutes of one CPU core beside other work. quick: 6 runs of 3 epochs, about 1 minute. smoke: seconds.
"""

from collections.abc import Mapping

from replications.experiment.session import planned
from replications.papers.meulemans2021.claims import CLAIMS as CLAIMS
from replications.papers.meulemans2021.figures import draw_figures
from replications.papers.meulemans2021.settings import PRESETS as PRESETS
from replications.papers.meulemans2021.settings import SEEDS as SEEDS
from replications.papers.meulemans2021.training import plan, train

TITLE = "Meulemans et al. 2021, Credit Assignment in Neural Networks through Deep Feedback Control"
EXPERIMENTS: Mapping[str, str] = {
    "mnist": "test error of 3 x 256 tanh units under BP and DFA (table 1)",
    "autoencoder": "test loss of 784-256-32-256-784 under BP and DFA (table 1)",
}
DATASETS = ("mnist", "digits")
run = planned(plan, train, draw_figures)
