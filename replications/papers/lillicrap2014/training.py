"""The runs of lillicrap2014 that each experiment needs."""

from collections.abc import Callable, Sequence

from replications.experiment.run import Run
from replications.experiment.session import Session
from replications.papers.lillicrap2014 import flow, mean_flow, mnist, pbp, single_pair, sweep, task1, task3
from replications.papers.lillicrap2014.settings import Preset

Groups = list[list[Run]]
Train = Callable[[Session, Sequence[Run]], list[dict[str, float]]]
ONLINE: dict[str, Train] = {
    "fig1d": task1.train_group,
    "fig2d": task3.train_group,
    "fig3": flow.train_group,
    "fig4": sweep.train_group,
    "thm1": mean_flow.train_group,
    "thm2": single_pair.train_group,
    "pbp": pbp.train_group,
}
# experiments that use the runs of another experiment
SHARED = {"fig1e": "fig1d", "fig2b": "fig2a", "figS1": "fig2a"}


def plan(session: Session) -> tuple[Groups, list[Run]]:
    """The runs that the chosen experiments need: groups that are computed together, and runs of task 2."""
    settings: Preset = session.settings
    seeds = session.seeds
    needed = {SHARED.get(experiment, experiment) for experiment in session.experiments}
    groups = [
        *task1.plan(settings.linear, seeds),
        *flow.plan(settings.flow),
        *sweep.plan(settings.sweep, seeds),
        *mean_flow.plan(settings.mean_flow, seeds),
        *single_pair.plan(settings.single_pair, seeds),
        *pbp.plan(settings.pbp, seeds),
        *task3.plan(settings.teacher, seeds),
    ]
    trainings = mnist.plan(settings.mnist, seeds)
    return [runs for runs in groups if runs[0].experiment in needed], [r for r in trainings if r.experiment in needed]


def train_all(session: Session, groups: Groups, trainings: Sequence[Run]) -> None:
    """Train the runs that --out does not hold yet."""
    session.loop.finish_together(groups, lambda runs: ONLINE[runs[0].experiment](session, runs))
    session.loop.finish(trainings, lambda run: mnist.train(session, run))
