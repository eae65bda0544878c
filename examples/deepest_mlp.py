"""How deep can an MLP be in a given memory, under backpropagation, activation checkpointing and LAFS?

    python examples/deepest_mlp.py [--megabytes 64]

Linux only. In every attempt a process makes two training steps in this memory, or an allocation fails. Under LAFS a layer's
gradients are computed as soon as it has run, and its activations are freed: only parameters and gradients grow with depth.
"""

import argparse
import ctypes
import math
import multiprocessing
import resource
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint_sequential

import lightning_fa as fa

WIDTH, BATCH = 64, 4096


def train(depth: int, way: str) -> None:
    """Two steps, because the gradients of the first step are still held in the second."""
    layers = [m for i, o in pairwise([WIDTH] * (depth + 1) + [10]) for m in (nn.Linear(i, o), nn.Tanh())]
    model = nn.Sequential(*layers[:-1])
    x, y = torch.randn(BATCH, WIDTH), torch.randint(10, (BATCH,))
    attached = fa.attach(model, "lafs" if way == "lafs" else "bp", example=x[:2])
    segmented = partial(checkpoint_sequential, model, math.isqrt(depth), use_reentrant=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(2):
        attached.targets = y
        output = (segmented if way == "checkpointing" else model)(input=x)
        attached.loss(F.cross_entropy(output, y)).backward()
        optimizer.step()


def attempt(depth: int, way: str, megabytes: float) -> None:
    """Runs in a separate process, which exits with 1 if the memory does not suffice."""
    torch.set_num_threads(1)
    # As MALLOC_MMAP_THRESHOLD_=65536: glibc would keep freed memory, and split it so that no activation fits in again.
    ctypes.CDLL(None).mallopt(-3, 65536)
    train(2, way)  # memory that PyTorch allocates only once does not count
    used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
    resource.setrlimit(resource.RLIMIT_DATA, (used + int(megabytes * 1e6),) * 2)
    try:
        train(depth, way)
    except (RuntimeError, MemoryError):
        raise SystemExit(1) from None


def fits(depth: int, way: str, megabytes: float) -> bool:
    """Whether ``depth`` layers can be trained."""
    (process := multiprocessing.get_context("fork").Process(target=attempt, args=(depth, way, megabytes))).start()
    process.join()
    return process.exitcode == 0


def deepest(way: str, megabytes: float) -> int:
    """The largest depth, found by doubling, then by halving the interval down to a fiftieth of the depth."""
    low, high = 1, 2
    while fits(high, way, megabytes):
        low, high = high, 2 * high
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle, way, megabytes) else (low, middle)
    return low


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=64)
    given = parser.parse_args().megabytes
    for name in ("backprop", "checkpointing", "lafs"):
        print(f"{name:>13}: {deepest(name, given)} layers in {given:g} MB", flush=True)
