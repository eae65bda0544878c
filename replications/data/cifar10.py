"""CIFAR-10 (Krizhevsky 2009), read by torchvision, pixels divided by 255."""

import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

import torch
from torch import Tensor

from replications.data.dataset import Dataset
from replications.data.download import fetch
from replications.data.files import KnownFile, check_files

FOLDER = "cifar-10-batches-py"
FILES = (
    KnownFile("batches.meta", "5ff9c542aee3614f3951f8cda6e48888", 158),
    KnownFile("data_batch_1", "c99cafc152244af753f735de768cd75f", 31_035_704),
    KnownFile("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec", 31_035_320),
    KnownFile("data_batch_3", "54ebc095f3ab1f0389bbae665268c751", 31_035_999),
    KnownFile("data_batch_4", "634d18415352ddfa80567beed471001a", 31_035_696),
    KnownFile("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb", 31_035_623),
    KnownFile("test_batch", "40351d587109b95175f43aff81a1287e", 31_035_526),
)


def read(root: Path) -> Dataset:
    """The data set from `root`/cifar-10-batches-py. The files are checked first."""
    check_files(root / FOLDER, FILES)
    return Dataset("cifar10", *_tensors(root, train=True), *_tensors(root, train=False))


def is_absent(root: Path) -> bool:
    """Whether `root` holds none of the files. A download then replaces nothing."""
    return not any((root / FOLDER / file.name).exists() for file in FILES)


def download(root: Path) -> None:
    """Download to `root`. The archive is unpacked into a temporary folder, checked, and moved into place as a whole."""
    from torchvision.datasets import CIFAR10

    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=root) as unfinished:
        with tarfile.open(fileobj=BytesIO(fetch([CIFAR10.url], CIFAR10.tgz_md5))) as archive:
            archive.extractall(unfinished, filter="data")
        check_files(Path(unfinished, FOLDER), FILES)
        Path(unfinished, FOLDER).replace(root / FOLDER)


def _tensors(root: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    from torchvision.datasets import CIFAR10

    images = CIFAR10(root, train=train, download=False)
    pixels = torch.from_numpy(images.data).permute(0, 3, 1, 2)
    return pixels.float().div_(255).contiguous(), torch.tensor(images.targets)
