"""Faults in what is around the rules: the first check of a user's call, the replications' judge and their pages."""

from tests.faults.fault import Fault

CLAIMS = ("tests/replications/test_claims.py",)
SETTINGS = ("tests/replications/test_settings.py",)

FAULTS = [
    Fault(
        "what is no module attached to",
        "attach.py",
        "if not isinstance(model, nn.Module):",
        "if False:",
        ("tests/networks/test_bad_inputs.py",),
    ),
    Fault(
        "B drawn whole beside a weight that tensor parallelism has divided",
        "attach.py",
        "    check_undivided(model)\n",
        "",
        ("tests/networks/test_errors.py",),
    ),
    Fault(
        "a dry run in the dtype that Lightning gives the weights later",
        "training_step.py",
        "example=_example(module))",
        "example=module.example_input_array)",
        ("tests/trainer/test_trainer_features.py",),
    ),
    Fault(
        "a factor in a manual loss that scales the head's gradients and not those of local losses",
        "training_step.py",
        "            self._check_factor(loss)\n",
        "            pass\n",
        ("tests/trainer/test_lightning.py",),
    ),
    Fault(
        "a layer that comes into the model after the rule trained through its true weight",
        "late_layers.py",
        "self.handles.append(module.register_forward_pre_hook(_refuse, with_kwargs=True))",
        "pass",
        ("tests/networks/test_late_layers.py",),
    ),
    Fault(
        "a layer of a late list not noticed",
        "late_layers.py",
        "for below, module in named_modules(child):",
        'for below, module in [("", child)]:',
        ("tests/networks/test_late_layers.py",),
    ),
    Fault(
        "a late layer refused for good, also when the rule has gone",
        "late_layers.py",
        "        handle.remove()",
        "        pass",
        ("tests/networks/test_late_layers.py",),
    ),
    Fault(
        "the state that the example leaves in the model kept",
        "rehearsal.py",
        "with undisturbed(model), torch.enable_grad():",
        "with torch.enable_grad():",
        ("tests/networks/test_dry_run.py",),
    ),
    Fault(
        "a teacher that `forward` calls taken for a second head although it is left out",
        "attach.py",
        "unwrapped(model)\n",
        "unwrapped(model)\n    ungoverned = ()\n",
        ("tests/networks/test_nested.py",),
    ),
    Fault(
        "a run that only looks whether it works judged as a replication",
        "replications/judging/claims.py",
        'if preset == LOOK and verdict == "reproduced":',
        "if False:",
        CLAIMS,
    ),
    Fault(
        "changed settings reported as those of the preset",
        "replications/experiment/settings.py",
        "return changed(preset, others), settings",
        "return preset, settings",
        SETTINGS,
    ),
    Fault(
        "a changed setting that never reaches the runs",
        "replications/experiment/prepare.py",
        "return Session(paper, experiments, preset, settings,",
        "return Session(paper, experiments, preset, paper.presets[options.preset],",
        SETTINGS,
    ),
    Fault(
        "a number that no result file can hold taken for a setting",
        "replications/experiment/settings.py",
        "json.dumps(value, allow_nan=False)",
        "json.dumps(value)",
        SETTINGS,
    ),
    Fault(
        "formulas of a paper's page shown as they are typed",
        "replications/reporting/prose.py",
        "EXPONENT.sub(_superscript, part.replace",
        "str(part.replace",
        ("tests/replications/test_prose.py",),
    ),
    Fault(
        "a preprint that is no link",
        "replications/reporting/prose.py",
        'return ARXIV.sub(r"[arXiv',
        'return re.sub("no such text", r"[arXiv',
        ("tests/replications/test_prose.py",),
    ),
    Fault(
        "a bar in a claim that ends its cell of the table",
        "replications/reporting/prose.py",
        r'cell.replace("|", r"\|") for cell in cells',
        "str(cell) for cell in cells",
        ("tests/replications/test_prose.py",),
    ),
    Fault(
        "a report whose template escapes nothing",
        "replications/reporting/page.py",
        "autoescape=True",
        "autoescape=False",
        ("tests/replications/test_report.py",),
    ),
    Fault(
        "learned feedback accepted after DDP or FSDP",
        "sharding.py",
        "if learned and (replicated or",
        "if False and (replicated or",
        ("tests/networks/test_errors.py",),
    ),
]
