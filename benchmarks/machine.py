"""The machine and the versions of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import lightning
import torch

import lightning_fa

HERE = Path(__file__).parent


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
        "commit": commit(),
    }


def commit() -> str:
    """The commit of the working tree, followed by + if tracked files have changes; ? without git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=10", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "?"
