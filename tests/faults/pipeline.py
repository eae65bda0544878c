"""Faults in pipelines: another batch's activations or error, and numbers of one stage for those of all."""

from tests.faults.fault import Fault

STAGES = ("tests/distributed/test_pipeline.py",)

FAULTS = [
    Fault(
        "a stage of a pipeline that reads the batch before",
        "pipeline/channel.py",
        "        return h\n\n    def flush",
        "        h, self.old = getattr(self, 'old', h), h\n"
        "        return h if h.shape == like.shape else self.old\n\n    def flush",
        STAGES,
    ),
    Fault(
        "a stale e in a pipeline",
        "pipeline/errors.py",
        "        return e, None, None\n\n\nclass _Arrive",
        "        e, ctx.errors.old = getattr(ctx.errors, 'old', e), e\n        return e, None, None\n\n\nclass _Arrive",
        STAGES,
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
        "            true = [{key: result.compute().detach().cpu() for key, result in logged.items()}]",
        "            true = [{key: result.compute().detach().cpu() / 2 for key, result in logged.items()}]",
        STAGES,
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
        STAGES,
    ),
]
