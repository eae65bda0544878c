"""Start N processes as torchrun would, and read what they wrote.

The exit code says nothing: gloo sometimes aborts when the interpreter ends, even for a plain ``nn.Linear``.

On Linux each process is a fork of one that has imported torch and Lightning and done nothing else, since importing them
takes longer than most of the training here.
"""

import gc
import multiprocessing
import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]

PROCESSES = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
PROCESSES.set_forkserver_preload(["tests.distributed.jobs", "torch.distributed.checkpoint.state_dict"])


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def environment(**more: Any) -> dict[str, str]:
    """This process' environment, without the caller's own rank in some cluster, on one thread and the loopback."""
    ours = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "TORCHELASTIC", "PL_"))}
    return kept | ours | {k: str(v) for k, v in more.items()}


def process(job: str, folder: str, arguments: dict[str, Any], env: dict[str, str]) -> None:
    """What one process does: the job, in an environment of its own and with its output in a file."""
    gc.freeze()  # what has been imported stays
    os.environ.clear()
    os.environ.update(env)
    log = os.open(Path(folder) / f"log{env['RANK']}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    warnings.simplefilter("ignore")
    from tests.distributed.jobs import run

    run(job, folder, arguments)


class Run:
    """Processes on their way."""

    def __init__(self, processes: list[BaseProcess]) -> None:
        self.processes = processes

    def wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while any(p.exitcode is None for p in self.processes):
            if time.monotonic() > deadline or any(p.exitcode not in (None, 0) for p in self.processes):
                time.sleep(2)  # the others' last words
                return
            time.sleep(0.05)

    def until(self, condition: Callable[[], bool], timeout: float = 120) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.01)

    def kill(self, after: float = 0.0) -> None:
        """SIGKILL, as the out-of-memory killer and a cluster's scheduler do it."""
        time.sleep(after)
        for process in self.processes:
            process.kill()
            process.join()


@contextmanager
def start(job: str, folder: Path, world: int = 2, **arguments: Any) -> Iterator[Run]:
    """Start ``jobs.<job>(folder, rank, world, **arguments)`` on every rank; what still runs in the end is killed."""
    port, processes = free_port(), []
    for rank in range(world):
        env = environment(
            RANK=rank,
            LOCAL_RANK=rank,
            GROUP_RANK=0,
            WORLD_SIZE=world,
            LOCAL_WORLD_SIZE=world,
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        processes.append(PROCESSES.Process(target=process, args=(job, str(folder), arguments, env), daemon=True))
        processes[-1].start()
    run = Run(processes)
    try:
        yield run
    finally:
        run.kill()


def launch(job: str, folder: Path, world: int = 2, timeout: float = 300, **arguments: Any) -> list[dict[str, Any]]:
    """:func:`start`, and what each rank has written to ``rank<r>.pt`` when it is over."""
    with start(job, folder, world, **arguments) as run:
        run.wait(timeout)
    return [read(folder, rank) for rank in range(world)]


def read(folder: Path, rank: int) -> dict[str, Any]:
    file = folder / f"rank{rank}.pt"
    assert file.exists(), f"Rank {rank} wrote nothing. Its log:\n{(folder / f'log{rank}.txt').read_text()[-4000:]}"
    return torch.load(file, weights_only=True)
