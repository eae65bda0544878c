"""Oracle: what a user must be told about data that are absent, damaged or only stand in."""

import gzip
import hashlib
import struct
from pathlib import Path

import pytest
import torch

from replications.data import batches, digits, load, mnist
from replications.data.files import KnownFile, check_files
from replications.errors import ReplicationError


def idx(magic: int, shape: tuple[int, ...]) -> bytes:
    """A file in MNIST's format, with pixels or labels 0, 1, 2, ... modulo 10."""
    count = torch.Size(shape).numel()
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + bytes(i % 10 for i in range(count))


@pytest.fixture
def small_mnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Stand-ins for the four published files, small enough to be made in tests."""
    contents = {
        "train-images-idx3-ubyte": idx(2051, (20, 28, 28)),
        "train-labels-idx1-ubyte": idx(2049, (20,)),
        "t10k-images-idx3-ubyte": idx(2051, (10, 28, 28)),
        "t10k-labels-idx1-ubyte": idx(2049, (10,)),
    }
    known = tuple(
        KnownFile(name, hashlib.md5(content).hexdigest(), len(content), int.from_bytes(content[:4], "big"))
        for name, content in contents.items()
    )
    monkeypatch.setattr(mnist, "FILES", known)
    return contents


@pytest.fixture
def folder(tmp_path: Path, small_mnist: dict[str, bytes]) -> Path:
    (tmp_path / "data" / mnist.RAW).mkdir(parents=True)
    for name, content in small_mnist.items():
        (tmp_path / "data" / mnist.RAW / name).write_bytes(content)
    return tmp_path / "data"


def test_intact_files_become_tensors_between_0_and_1(folder):
    data = load("mnist", folder)
    assert (data.label, data.width, data.classes) == ("mnist", 784, 10)
    assert data.train_inputs.shape == (20, 1, 28, 28)
    assert data.train_inputs.dtype == torch.float32
    assert data.train_inputs[0, 0, 0].tolist() == pytest.approx([i % 10 / 255 for i in range(28)])
    assert data.test_labels.tolist() == list(range(10))


def test_the_option_goes_before_the_variable(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("LIGHTNING_FA_DATA", str(tmp_path / "absent"))
    assert load("mnist", folder).label == "mnist"
    with pytest.raises(ReplicationError, match="LIGHTNING_FA_DATA to name a folder"):
        load("mnist")


@pytest.mark.parametrize("name", [file.name for file in mnist.FILES])
def test_a_half_written_file_is_named_with_both_sizes_and_left_alone(folder, small_mnist, name):
    """Silently replacing or skipping it would train on other data than the user has."""
    path = folder / mnist.RAW / name
    path.write_bytes(small_mnist[name][:-1])
    with pytest.raises(ReplicationError) as error:
        load("mnist", folder)
    message = str(error.value)
    assert str(path) in message
    assert f"{len(small_mnist[name])} bytes but it has {len(small_mnist[name]) - 1}" in message
    assert "--data-dir" in message
    assert path.read_bytes() == small_mnist[name][:-1]


def test_a_missing_file_is_named(folder):
    (folder / mnist.RAW / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ReplicationError, match=r"t10k-labels-idx1-ubyte but there is none"):
        load("mnist", folder)


def test_a_file_of_the_right_size_but_another_format_is_named_with_both_magic_numbers(folder):
    path = folder / mnist.RAW / "train-labels-idx1-ubyte"
    path.write_bytes(struct.pack(">I", 2051) + path.read_bytes()[4:])
    with pytest.raises(ReplicationError, match="magic number 2049 but got 2051"):
        load("mnist", folder)


def test_one_changed_byte_is_found(folder):
    path = folder / mnist.RAW / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ReplicationError, match="MD5 checksum"):
        load("mnist", folder)


def test_a_damaged_file_in_the_cache_is_named_too_and_not_downloaded_again(folder, monkeypatch):
    monkeypatch.setattr("replications.data.source.cache_folder", lambda: folder)
    (folder / mnist.RAW / "train-labels-idx1-ubyte").write_bytes(b"half")
    with pytest.raises(ReplicationError, match="train-labels-idx1-ubyte"):
        load("mnist")


def test_a_named_folder_that_is_absent_is_an_error_and_never_a_reason_for_the_stand_in(tmp_path):
    with pytest.raises(ReplicationError, match="--data-dir to name a folder"):
        load("mnist", tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReplicationError, match=r"train-images-idx3-ubyte.*datasets\.MNIST\(FOLDER, download=True\)"):
        load("mnist", tmp_path / "empty")


def test_without_data_and_network_the_digits_stand_in_and_say_so(capsys):
    data = load("mnist")
    assert data.label == "digits (stand-in)"
    assert data.stand_in_for == "mnist"
    printed = capsys.readouterr().out
    assert "Could not download mnist" in printed
    # before the minutes that a replication takes, and not only after them
    assert "no claim about mnist is judged" in printed


def test_digits_that_were_asked_for_are_no_stand_in():
    assert load("digits").label == "digits"


def test_no_digit_is_both_trained_on_and_tested_on():
    data = digits.read()
    assert (len(data.train_labels), len(data.test_labels)) == (1500, 297)
    assert data.train_inputs.max() == 1.0
    again = digits.read()
    assert torch.equal(data.train_inputs, again.train_inputs)
    assert data.train_inputs.sum() + data.test_inputs.sum() == pytest.approx(561718 / 16, rel=1e-6)


def test_cifar10_without_data_and_network_is_an_error_since_nothing_stands_in_for_it():
    with pytest.raises(ReplicationError, match="Expected cifar10 in"):
        load("cifar10")


def test_an_unknown_data_set_is_answered_with_the_known_ones():
    with pytest.raises(ReplicationError, match=r"mnist, cifar10, digits but got 'imagenet'"):
        load("imagenet")


def test_a_known_file_without_a_size_is_checked_by_its_sum(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    check_files(tmp_path, [KnownFile("file", hashlib.md5(b"content").hexdigest())])
    with pytest.raises(ReplicationError, match="MD5"):
        check_files(tmp_path, [KnownFile("file", hashlib.md5(b"other").hexdigest())])


@pytest.fixture
def mirror(small_mnist, monkeypatch):
    """Files that a mirror serves, by the last part of their address; tests may damage them."""
    from torchvision.datasets import MNIST

    served = {f"{name}.gz": gzip.compress(content) for name, content in small_mnist.items()}
    sums = [(name, hashlib.md5(content).hexdigest()) for name, content in served.items()]
    monkeypatch.setattr(MNIST, "resources", sums)
    monkeypatch.setattr(MNIST, "mirrors", ["mirror://"])

    class Response(bytes):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def read(self):
            return bytes(self)

    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: Response(served[url.removeprefix("mirror://")]))
    return served


def test_a_download_is_kept_for_the_next_run(mirror, monkeypatch):
    first = load("mnist")
    assert first.label == "mnist"
    mirror.clear()
    assert torch.equal(load("mnist").train_inputs, first.train_inputs)


def test_a_cut_download_leaves_nothing_that_could_poison_the_next_run(mirror, tmp_path):
    name = "t10k-labels-idx1-ubyte.gz"
    whole, mirror[name] = mirror[name], mirror[name][:-3]
    assert load("mnist").label == "digits (stand-in)"
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    assert list((tmp_path / "cache").rglob("unfinished-*")) == []
    mirror[name] = whole
    assert load("mnist").label == "mnist"


def test_a_mirror_that_never_answers_does_not_hang_the_command(monkeypatch):
    import threading
    import time

    from replications.data import download

    never = threading.Event()
    monkeypatch.setattr(download, "SECONDS_TO_ANSWER", 0.2)
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: never.wait(30))
    begun = time.monotonic()
    with pytest.raises(download.DownloadError, match=r"no answer within 0\.2 s"):
        download.fetch(["https://silent.invalid/file"], "0")
    never.set()
    assert time.monotonic() - begun < 29  # the mirror answers after 30


def test_batches_cover_every_sample_once_per_epoch_in_an_order_of_their_seed():
    inputs, labels = torch.arange(10.0).unsqueeze(1), torch.arange(10)
    loader = batches(inputs, labels, 4, shuffle_seed=0)
    first, second = ([y.tolist() for _, y in loader] for _ in range(2))
    assert [len(batch) for batch in first] == [4, 4, 2]
    for epoch in (first, second):
        assert sorted(label for batch in epoch for label in batch) == list(range(10))
    assert first != second
    assert first == [y.tolist() for _, y in batches(inputs, labels, 4, shuffle_seed=0)]
    assert first != [y.tolist() for _, y in batches(inputs, labels, 4, shuffle_seed=1)]
    assert all(torch.equal(x.squeeze(1).long(), y) for x, y in loader)


def test_without_a_seed_batches_keep_the_order():
    loader = batches(torch.zeros(5, 1), torch.arange(5), 2)
    assert [y.tolist() for _, y in loader] == [[0, 1], [2, 3], [4]]


def test_a_part_of_the_data_is_the_same_part_every_time_and_never_more_than_there_is():
    data = digits.read()
    part = data.part(100, None)
    assert (len(part.train_labels), len(part.test_labels)) == (100, 297)
    assert torch.equal(part.train_inputs, data.part(100, None).train_inputs)
    assert not torch.equal(part.train_inputs, data.train_inputs[:100])
    assert len(data.part(10**6, 5).train_labels) == 1500


@pytest.mark.parametrize(("asked", "held"), [(0, 0), (10, 10), (5000, 300)])
def test_held_out_samples_are_the_last_ones_and_at_most_a_fifth(asked, held):
    """None held out once meant that nothing was left to train on: the slice `[:-0]` is empty."""
    data = digits.read()
    found = data.hold_out(asked)
    assert (len(found.train_labels), len(found.test_labels)) == (1500 - held, held)
    assert torch.equal(torch.cat([found.train_inputs, found.test_inputs]), data.train_inputs)
    assert torch.equal(torch.cat([found.train_labels, found.test_labels]), data.train_labels)
