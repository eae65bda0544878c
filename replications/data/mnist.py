"""MNIST (LeCun, Cortes, Burges), read by torchvision, pixels divided by 255."""

import gzip
import shutil
import tempfile
from pathlib import Path

from torch import Tensor

from replications.data.dataset import Dataset
from replications.data.download import fetch
from replications.data.files import KnownFile, check_files

RAW = Path("MNIST", "raw")
FILES = (
    KnownFile("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", 47_040_016, 2051),
    KnownFile("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", 60_008, 2049),
    KnownFile("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", 7_840_016, 2051),
    KnownFile("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", 10_008, 2049),
)


def read(root: Path) -> Dataset:
    """The data set from `root`/MNIST/raw (torchvision's layout). All four files are checked first."""
    check_files(root / RAW, FILES)
    return Dataset("mnist", *_tensors(root, train=True), *_tensors(root, train=False))


def is_absent(root: Path) -> bool:
    """Whether `root` holds none of the files. A download then replaces nothing."""
    return not any((root / RAW / file.name).exists() for file in FILES)


def download(root: Path) -> None:
    """Download to `root`/MNIST/raw. The four files are collected in a temporary folder, checked, and moved as a whole."""
    from torchvision.datasets import MNIST

    target = root / RAW
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=target.parent))
    try:
        for archive, md5 in MNIST.resources:
            content = fetch([mirror + archive for mirror in MNIST.mirrors], md5)
            (unfinished / archive.removesuffix(".gz")).write_bytes(gzip.decompress(content))
        check_files(unfinished, FILES)
        unfinished.chmod(0o755)
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _tensors(root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import MNIST

    images = MNIST(root, train=train, download=False)
    return images.data.float().div_(255).unsqueeze(1), images.targets
