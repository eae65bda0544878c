"""Czarnecki, Swirszcz, Jaderberg, Osindero, Vinyals, Kavukcuoglu 2017: what synthetic gradients do to a network.

Paper
    "Understanding Synthetic Gradients and Decoupled Neural Interfaces", ICML 2017 (arXiv 1703.00522). A module SG(h, y)
    predicts the gradient dL/dh from h and the label. SG learns by regression on the true gradient, and its prediction trains
    the layers below h.

Claims
    Linear SG modules keep the critical points of linear problems and converge there (theorem 1, corollary 1, table 2), but
    not for log loss on separable data. They can add spurious critical points (figure 6). They model the loss as a quadratic,
    best near the output and early in training (figures 2 and 9). Deep networks learn as well or faster (figure 4), and their
    representations differ from those of backprop (figures 3, 5, 7, 8). Backprop, DFA, FA and Kickback are one scheme with
    different modules, targets and losses (table 1). CLAIMS says how each claim is judged.

Set-up
    From the paper: linear SG, zero at the start, mean squared error, Adam for the network and the modules (appendix C).
    MNIST: layers of 512 ReLU followed by batch-norm, inputs in [0, 1], up to 50 hidden layers, one SG after the middle layer
    or an SG after every layer, 400 points for the similarity matrices. Table 2: N(0, I), 100 points in 2 or 1000 in 100
    dimensions, labels linear, noisy (10 % swapped) or random, one-hot. The model is linear with the SG between output and
    loss, or has 10 hidden linear layers. Figure 2: 5 hidden ReLU layers, points on a grid in the plane.

    The paper leaves the rest open or prints it illegibly, so that the following is ours. MNIST: learning rate 3e-5
    (Jaderberg et al. 2016), batches of 128, 100 epochs, L2 penalty 1e-5. Table 2: full batches, 1e-2, 10000 steps. Deep
    models of table 2: 1e-3, 3000 steps, hidden layers of the width of the input with the identity as initial weights, the SG
    after the fifth. Figure 2: 15 x 15 points within +-2, full batches, width 50, an SG after every hidden layer, 1e-3, 100000
    steps, labels linear and random. Figure 6: the data are -2, -1, 1, 2. Sigmoid is the second activation of figure 4.

Differences
    We train the networks of figures 3, 4, 5, 7, 8 and footnote 5 once, with the penalty that the paper mentions for figure
    5. We integrate (A + A^T) / 2, whereas the paper integrates A, which is the gradient of a loss only if A = A^T. We report
    the correlation over all points and also the correlation within the points of one label, because the constant of
    integration may depend on the label.

    For the claims about "100 % after the first two layers" we train logistic probes to convergence, on all training samples.
    A probe of fewer samples says nothing: of 10000 samples it separates all of an untrained network too (`quick` has 5000, and
    is not judged). 100 % means at least 99.5 %, and the untrained network must have less. Figures 2 and 9 are measured at steps
    that are evenly spaced in the logarithm, and every panel is judged by itself. Early means that the true loss is above 1e-3
    (the paper: the fidelity falls at about 1e-3).

    The paper does not have the following controls: an SG module that does not learn (theorem 1), a lower half that does not
    learn (footnote 5), backprop with as many steps (table 2). In the control of footnote 5 the lower half has no penalty.
    Without another gradient Adam would make full steps along the penalty's gradient, however small, and shrink the weights
    to nothing.

    `reduced` has the networks of `full` without 50 layers of sigmoid units, at a length for two cores. On MNIST it has 2500
    steps at 3e-4 in place of 46900 at 3e-5. Networks whose modules learn from modules (an SG after every layer, footnote 5),
    and the backprop that they are compared with, keep 3e-5. Figures 2 and 9 have 10000 steps. `quick` is shorter: MNIST at
    depths 3 and 10, 3e-4, 2000 steps, table 2 with 3000 steps (deep: 500), figures 2 and 9 with 4000. The results name the
    command for the missing runs.

Found
    Table 2 agrees with the paper in its rows about a limit of SG: on separable data in 100 dimensions the log loss of SG
    stays at 0.088 (paper: 0.086), whereas backprop after as many steps is at 0.0001. With MSE, and with random labels, SG
    reaches the optimum. `linear2` is undecided. SG should have at least three times the excess of backprop, and has 2.3 times
    (0.014 and 0.0078). In 2 dimensions backprop itself has not converged, because log loss on separable data falls as one
    over the number of steps. Runs of this length therefore cannot distinguish a limit of SG from short training.

    In the deep models the log loss is still changing, so that one final value is a snapshot (`noisy100`: 0.0027, 0.0001,
    0.0008, 0.0011 and 0.0004 after 250 to 3000 steps; paper: 0.0029). The claims are therefore about the mean over the
    last fifth of the steps, three starts and three rates. In 2 dimensions every one of the 90 runs reaches the optimum to
    0.0006. In 100 dimensions two claims are undecided because of one rate: at 3e-3 training with a synthetic gradient is
    unstable, 27 of 30 runs end outside the accepted range, the worst at 3e5, and the mean is the mean of those few. At 3e-4
    and 1e-3 all 60 runs are stable, with means of 0.0009 (`noisy100`) and 0.00005 (`random100`; paper: 0.00004). The claims
    still count all three rates, because the rates were chosen before the runs.

    `reduced`, 3 seeds of 2500 steps: with one SG every depth learns about as well as with backprop or better, and the
    advantage grows with depth. At 50 layers of ReLU the training accuracy is 91.5 % with SG and 80.8 % with backprop, although
    SG is behind for the first 1900 steps. At 20 layers of sigmoid units it is 97.6 and 96.1 %. At 3 layers of sigmoid units SG
    has 0.3 points less test accuracy. The claims that ask for 99 % at all depths fail because training is too short: backprop
    with 50 layers has less too. The layers of backprop are alike from layer 12, 13 or 15 of 20 on (paper: 9; accepted: up
    to 12). The networks of figure 3 were trained twice with the same seeds, because figure 8 asked for all samples. The second
    time was on another CPU, so that the networks differ by rounding. The claim on the layers below the SG (at least 0.1) had
    0.14 [0.09, 0.19] the first time and 0.14 [0.11, 0.17] the second time. It is only reported now. Backprop at 3e-5 differs
    from backprop at 3e-4 by 0.115, 0.145 and 0.099 in these layers, where SG differs by 0.128, 0.134 and 0.151. A bound of 0.1
    therefore cannot show "a qualitatively different style of representation".

    If modules learn from modules, the result depends on the learning rate. With an SG after each of 20 layers the training
    accuracy is 23, 28 and 33 % at 3e-4 (runs `sg-all-fast` of results.json), and 79 to 82 % at the paper's 3e-5, where
    backprop has 95 to 96 % after as many steps. At 10 layers (`quick`, one seed) the network with an SG after every layer
    learns at 3e-4 too (96 %). In figure 3 its layers are less like the last layer than those of backprop at the same rate,
    by 0.07 on average and by 0.14 to 0.17 in layers 4 to 9. There is still a point from which on the layers are alike, layer 16
    in each of the three seeds (backprop: 17, 17 and 16). The paper sees no such point.

    The network of footnote 5 has 53 % test accuracy at 3e-4, less than the control whose lower half keeps its initial weights
    (62 %; runs `-fast` of results.json). At 3e-5 it has 86 % in three seeds, and the control has 48 %. The network therefore
    learns, but 2500 steps are too few for 95 %.

    Figure 8: with one SG the probe of layer 2 has 99.9 %, and with DFA the probe of layer 1 has 99.8 %, which is 1.2 points
    above backprop. The untrained network has 96.7 and 95.4 % in these layers. Backprop at layer 2 has 99.58, 99.55 and 99.64 %
    in three seeds, which is above the bound of 99.5 % in each of them. The claim is undecided, because the 95 % interval of
    three seeds begins at 99.47 %. On 10 000 samples every probe of layers 1 and 2 had 100 %, also in the untrained network
    (evidence.json). With an SG after every layer at 3e-5 the probes are as in the untrained network after 2500 steps.

    Weight norms are not judged, because they hardly change in so few steps. The claims on how far one SG is ahead in figure 4
    (`fig4-*-ahead`) and on final losses in figure 9 (`fig9-*-loss`) were added after their runs. They are marked post hoc and
    not judged. The claim of figure 9 once had an upper bound on a ratio of losses, which no run could keep.

    Figure 9: an SG without the activations diverges in 10 of 12 runs. Its final loss in `reduced`, three seeds, is 1e12 to 6e14
    on separable labels with MSE, and 2e7 to 3e7 with log loss. On random labels it is 1e8, 5e13 and 0.5 with MSE, and 102,
    0.7 and 340 with log loss. The final loss of the full SG is 2e-5 to 7e-5, 4e-6 to 2e-5, 0.07 to 0.12 and 0.17 to 0.28. The
    ratio is large because the first loss diverged, not because the second is small. A divergence is not what the paper
    describes: its SG "did not converge to a good solution after 100k iterations". The value to which a run diverges depends
    on rounding, so that no such value is judged.

    The correlations of figure 9 are judged with random labels alone. With separable labels the loss of the full SG falls below
    1e-3 and ends the early steps, with MSE and seed 0 after step 1000 of 10000. The loss of the others never falls so far, so
    that their means are over all steps from 100 on. Their results do not hold the single steps that would allow a comparison
    over the same steps. With random labels an SG without the activations also diverges, in 4 of 6 runs, so that its
    correlations there depend on rounding too.

    Figure 2: `fig2-early-*` is only reported. Its bound of 0.5 came from our short run of the first panel with seed 0, and seed
    0 of this panel was judged by it too. The paper gives no number for "reasonably well". In this panel (separable labels, MSE)
    the three seeds have 0.61, 0.19 and 0.18. Without seed 0 the value is 0.185 [0.171, 0.200], so that the claim would have
    failed. This is contrary to the paper so far. With separable labels and MSE the correlation is also higher early than later
    by 0.34 [0.13, 0.56], contrary to the paper so far, which sees "no such problem for MSE loss".

    Figure 5: with an SG after every layer the norms rise towards the output (rank correlation +0.98), contrary to the paper so
    far, which has norms that "start high, and then decrease". After 2500 steps they are still near their initial values.

Cost
    smoke: about 20 seconds. quick: one core for about 13 minutes on MNIST, 2 on figures 2 and 9, 2 on the rest. reduced:
    about two and a half hours of one core a seed on MNIST, beside other work, and 6 minutes on figures 2 and 9. The networks
    of figures 3, 5, 7 and 8 ran on an Intel Xeon, those of footnote 5 and of the other depths on an AMD EPYC. full: table 2
    about 20 minutes of one core a seed, figures 2 and 9 about 40; MNIST needs a GPU.
"""

from collections.abc import Mapping

from replications.experiment.session import planned
from replications.papers.czarnecki2017.claims import CLAIMS as CLAIMS
from replications.papers.czarnecki2017.figures import draw_figures
from replications.papers.czarnecki2017.plan import plan
from replications.papers.czarnecki2017.settings import PRESETS as PRESETS
from replications.papers.czarnecki2017.settings import SEEDS as SEEDS
from replications.papers.czarnecki2017.training import train

TITLE = "Czarnecki et al. 2017, Understanding Synthetic Gradients and Decoupled Neural Interfaces"
EXPERIMENTS: Mapping[str, str] = {
    "table1": "backprop, FA, DFA, Kickback, SG and SG+prop as one scheme (table 1), compared with the library's rules",
    "table2": "linear and deep linear models on artificial data: loss above the global optimum (table 2)",
    "fig2": "true loss and the loss that the SG implies, on a grid in the plane (figure 2)",
    "fig9": "as fig2, with an SG that does not see the label, or the activations (figure 9)",
    "fig3": "similarity matrices of the layers: backprop, one SG, an SG after every layer (figure 3)",
    "fig7": "the same with DFA added (figure 7)",
    "fig4": "learning curves over depth and activation, backprop and one SG (figure 4)",
    "fig5": "norms of the weight matrices over depth (figure 5)",
    "fig6": "spurious critical points of two scalars (figure 6, appendix A)",
    "fig8": "linear probes of every layer, to the label and back to the input (figure 8)",
    "thm1": "linear regression with a linear SG and line search (theorem 1)",
    "prop2": "a deep linear network that moves only while its SG tracks the gradient (proposition 2, corollary 1)",
    "footnote5": "a lower half trained by the gradient of the SG loss alone (footnote 5)",
    "step-time": "time per step with one SG at depth 50, compared with plain PyTorch (ours)",
}
DATASETS = ("mnist", "digits")
run = planned(plan, train, draw_figures)
