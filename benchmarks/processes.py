"""Starts jobs in processes of their own, with the environment that torchrun sets."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

PROCESSES = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")


def launch(job: Callable[..., Any], world: int, *arguments: Any, seconds: float = 180) -> list[Any]:
    """The result of ``job(task, rank, *rest)`` on every rank, for ``arguments`` = task, *rest. Each process has one thread.

    Raises:
        RuntimeError: A process failed, or took longer than ``seconds``.
    """
    with tempfile.TemporaryDirectory() as folder, socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        s.close()
        started = [
            PROCESSES.Process(target=_process, args=(job, rank, world, port, folder, arguments), daemon=True)
            for rank in range(world)
        ]
        for process in started:
            process.start()
        try:
            _wait(started, seconds)
            # The files decide and not the exit code, because gloo sometimes aborts when the interpreter ends.
            files = [Path(folder) / f"{rank}.json" for rank in range(world)]
            if not all(file.exists() for file in files):
                raise RuntimeError(f"{job.__name__}{arguments[1:]}: a process failed. Its error is printed above.")
            return [json.loads(file.read_text()) for file in files]
        finally:
            for process in started:
                process.kill()
                process.join()


def _wait(started: list[Any], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(process.exitcode is None for process in started):
        if time.monotonic() > deadline:
            raise RuntimeError(f"A process is not ready after {seconds:.0f} s.")
        if any(process.exitcode not in (None, 0) for process in started):
            time.sleep(2)  # lets the other processes print their errors
            return
        time.sleep(0.02)


def _process(
    job: Callable[..., Any], rank: int, world: int, port: int, folder: str, arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(1)
    if world > 1:
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        os.environ |= {k: str(v) for k, v in ranks.items()} | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    task, *rest = arguments
    unfinished = Path(folder) / f"{rank}.part"
    unfinished.write_text(json.dumps(job(task, rank, *rest)))
    unfinished.replace(Path(folder) / f"{rank}.json")
