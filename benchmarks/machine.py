"""On what a measurement was made."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import lightning
import torch

import lightning_fa


def machine(device: str = "cpu") -> dict[str, str | int]:
    """Processor or GPU, cores, threads and versions."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        model = next(
            (s.split(":")[1].strip() for s in cpuinfo.read_text().splitlines() if s.startswith("model name")), model
        )
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else model,
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "lightning_fa": lightning_fa.__version__,
    }
