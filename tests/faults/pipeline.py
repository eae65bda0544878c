"""Faults in pipelines: another batch's activations or error, and numbers of one stage for those of all."""

from tests.faults.fault import Fault

STAGES = ("tests/distributed/test_pipeline.py",)
NAMED = ("tests/distributed/test_pipeline_runs.py::test_the_user_names_stages",)
PARTS = ("tests/distributed/test_pipeline.py::test_a_batch_in_parts_is_the_batch",)
MASKS = ("tests/distributed/test_pipeline.py::test_masks_are_those_of_any_other_number_of_stages",)
OWN_DATA = ("tests/distributed/test_pipeline_runs.py::test_data_of_its_own_for_each_rank_is_an_error",)
CONTINUED = (
    "tests/distributed/test_pipeline_runs.py::test_a_checkpoint_of_some_stages_is_continued_by_any_number_of_them",
)
REFUSED = ("tests/distributed/test_pipeline_runs.py::test_what_would_not_be_exact_is_refused_on_every_rank",)
STOPPED = ("tests/distributed/test_pipeline_runs.py::test_rank_0_stops_all_stages_or_there_is_an_error",)
OUTSIDE = (
    "tests/distributed/test_pipeline_runs.py::test_a_parameter_applied_to_the_input_outside_of_forward_is_an_error",
)
DIVIDED = ("tests/distributed/test_pipeline_stages.py",)
SIMULATED = ("tests/distributed/test_schedules.py",)

FAULTS = [
    Fault(
        "the optimizer state of one stage of a pipeline, saved after training as that of all",
        "strategies/pipeline_checkpoints.py",
        "        if not _distributed_is_initialized():",
        "        if self._division is None:",
        CONTINUED,
    ),
    Fault(
        "weights that are NaN, saved after the training of a pipeline has failed",
        "strategies/pipeline_checkpoints.py",
        "        if self._in_parts:",
        "        if False:",
        OWN_DATA,
    ),
    Fault(
        "a stage of a pipeline that reads the batch before",
        "pipeline/channel.py",
        "        return h\n\n    def end",
        "        h, self.old = getattr(self, 'old', h), h\n"
        "        return h if h.shape == like.shape else self.old\n\n    def end",
        NAMED,
    ),
    Fault(
        "a stale e in a pipeline",
        "pipeline/errors.py",
        "        return e, None, None\n\n\nclass _Arrive",
        "        e, ctx.errors.old = getattr(ctx.errors, 'old', e), e\n        return e, None, None\n\n\nclass _Arrive",
        PARTS,
    ),
    Fault(
        "a norm over one stage of a pipeline",
        "pipeline/clipping.py",
        "    dist.all_reduce(total)\n",
        "",
        STAGES,
    ),
    Fault(
        "a metric averaged over two stages of a pipeline, of which one knows nothing",
        "pipeline/metrics.py",
        "            true[0] = {key: result.compute().detach().cpu() for key, result in logged.items()}",
        "            true[0] = {key: result.compute().detach().cpu() / 2 for key, result in logged.items()}",
        STAGES,
    ),
    Fault(
        "a stage of a pipeline that ends an epoch alone",
        "strategies/pipeline.py",
        "self._division.channel.end, ",
        "lambda: None, ",
        STOPPED,
    ),
    Fault(
        "a stage of a pipeline that goes on when another has ended the epoch",
        "pipeline/channel.py",
        "        if header[0] == ENDED:",
        "        if False:",
        STOPPED,
    ),
    Fault(
        "a last batch of a pipeline at which each stage decides by itself",
        "pipeline/pace.py",
        "trainer.should_stop = agree(trainer.should_stop)",
        "pass",
        STOPPED,
    ),
    Fault(
        "a hook of a pipeline that stops one stage only",
        "pipeline/metrics.py",
        "        trainer.should_stop = true[1]\n",
        "",
        STOPPED,
    ),
    Fault(
        "a parameter of a pipeline that no stage trains",
        "pipeline/parts.py",
        "        if self.index == 0 or not self.place.here(self.index - 1):",
        "        if False:",
        OUTSIDE,
    ),
    Fault(
        "a weight of another stage of a pipeline that finetuning adds twice",
        "pipeline/groups.py",
        "if owns(tensor) or id(tensor) not in held]",
        "if True]",
        STAGES,
    ),
    Fault(
        "logged numbers of a microbatch of a pipeline that count as those of another",
        "strategies/pipeline.py",
        "        self._count(part)\n",
        "",
        PARTS,
    ),
    Fault(
        "a callback of a pipeline that decides by a metric of its own stage",
        "pipeline/metrics.py",
        "            self.share(self.module.trainer)\n            own()",
        "            own()",
        STAGES,
    ),
    Fault(
        "a step for each microbatch of a pipeline",
        "pipeline/refusals.py",
        "    if microbatches > 1 and not module.automatic_optimization:",
        "    if False:",
        REFUSED,
    ),
    Fault(
        "a stage of a pipeline that decides by a metric of its own",
        "pipeline/metrics.py",
        "if key in true[0]:",
        "if False:",
        STAGES,
    ),
    Fault(
        "one mask for all stages of a pipeline",
        "pipeline/parts.py",
        "        with self.stream():\n            out = ",
        "        if True:\n            out = ",
        MASKS,
    ),
    Fault(
        "masks of a shared dropout that are those of the first block of a pipeline",
        "pipeline/parts.py",
        "        return 0 if -1 in known and self.at not in known else self.at",
        "        return max(min(known), 0)",
        MASKS,
    ),
    Fault(
        "the share of a microbatch in a pipeline dropped",
        "strategies/pipeline.py",
        "loss * share for loss, share",
        "loss for loss, share",
        PARTS,
    ),
    Fault(
        "a stage of a pipeline that takes what was made of another batch",
        "pipeline/channel.py",
        "        if header != expected:",
        "        if False:",
        OWN_DATA,
    ),
    Fault(
        "the activations of a stage of a pipeline of another pass",
        "pipeline/channel.py",
        "        h = h.detach().contiguous()",
        "        h, self.old = getattr(self, 'old', h).detach().contiguous(), h\n"
        "        h = h if h.shape == self.old.shape else self.old.detach().contiguous()",
        NAMED,
    ),
    Fault(
        "stages of a pipeline in another order than their blocks",
        "pipeline/stages.py",
        "for a, s, b, t in pairs if t < s]",
        "for a, s, b, t in pairs if False]",
        DIVIDED,
    ),
    Fault(
        "a name for stages of a pipeline that no block has",
        "pipeline/stages.py",
        "for p in every if not any(matches(name, [p]) for name in names)]",
        "for p in every if False]",
        DIVIDED,
    ),
    Fault(
        "a simulated pipeline whose stages do two tasks at once",
        "benchmarks/pipeline/simulation.py",
        "                busy.add(stage)\n",
        "",
        SIMULATED,
    ),
    Fault(
        "a simulated message of a pipeline that takes no time",
        "benchmarks/pipeline/simulation.py",
        "now + tasks[waiting].needs[key]",
        "now",
        SIMULATED,
    ),
]
