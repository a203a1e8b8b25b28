import errno
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from training.fit import checkpoint
from training.fit.checkpoint import CheckpointError

resource = pytest.importorskip("resource", reason="limits the size of files as Unix does")


class Malicious:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "last.pt"
    checkpoint.save(path, {"weights": torch.arange(5), "epoch": 3, "name": "x", "history": [{"loss": 0.5}]})
    state, notice = checkpoint.load(path)
    assert notice is None
    assert torch.equal(state["weights"], torch.arange(5))
    assert (state["epoch"], state["name"], state["history"]) == (3, "x", [{"loss": 0.5}])


def test_the_checkpoint_before_is_kept(tmp_path):
    path = tmp_path / "last.pt"
    for epoch in range(4):
        checkpoint.save(path, {"epoch": epoch})
    assert checkpoint.load(path)[0]["epoch"] == 3
    assert checkpoint.load(checkpoint.previous(path))[0]["epoch"] == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == ["last.previous.pt", "last.pt"]


def test_what_a_killed_process_of_the_same_number_left_behind_is_no_obstacle(tmp_path):
    """Process numbers come again: its half-made link must not keep the newest from being kept."""
    path = tmp_path / "last.pt"
    left = tmp_path / f".last.previous.pt-{os.getpid()}"
    for epoch in range(3):
        left.write_bytes(b"of another time")
        checkpoint.save(path, {"epoch": epoch})
    assert checkpoint.load(path)[0]["epoch"] == 2
    assert checkpoint.load(checkpoint.previous(path))[0]["epoch"] == 1


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99], ids=["empty", "byte", "head", "half", "almost"])
def test_a_truncated_checkpoint_gives_way_to_the_one_before(tmp_path, kept):
    path = tmp_path / "last.pt"
    for epoch in range(2):
        checkpoint.save(path, {"epoch": epoch, "weights": torch.zeros(1000)})
    whole = path.read_bytes()
    path.unlink()  # the one before is another name of another file, not of this one
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    state, notice = checkpoint.load(path)
    assert state["epoch"] == 0
    assert notice is not None
    assert "going on from the checkpoint before it" in notice


def test_a_flipped_bit_in_the_weights_is_noticed(tmp_path):
    path = tmp_path / "last.pt"
    for epoch in range(2):
        checkpoint.save(path, {"epoch": epoch, "weights": torch.full((1000,), 7.0)})
    damaged = bytearray(path.read_bytes())
    damaged[damaged.index(torch.full((4,), 7.0).numpy().tobytes()) + 100] ^= 1
    path.unlink()
    path.write_bytes(damaged)
    state, notice = checkpoint.load(path)
    assert state["epoch"] == 0
    assert notice is not None


def test_without_an_earlier_one_a_damaged_checkpoint_is_an_error(tmp_path):
    path = tmp_path / "last.pt"
    path.write_bytes(b"PK nonsense")
    with pytest.raises(
        CheckpointError, match=r"last\.pt is truncated or not a checkpoint, and no earlier one"
    ):
        checkpoint.load(path)
    with pytest.raises(CheckpointError, match="is missing"):
        checkpoint.load(tmp_path / "none.pt")


def test_a_pickled_object_is_refused_and_not_executed(tmp_path):
    path, witness = tmp_path / "last.pt", tmp_path / "executed"
    torch.save({"schema": 1, "state_dict": Malicious(witness)}, path)
    with pytest.raises(CheckpointError, match="holds more than weights and plain values"):
        checkpoint.load(path)
    assert not witness.exists()


def test_another_version_is_named(tmp_path):
    path = tmp_path / "last.pt"
    torch.save({"schema": 99}, path)
    with pytest.raises(CheckpointError, match=r"not a checkpoint of this version \(schema 99, wanted 2\)"):
        checkpoint.load(path)


@contextmanager
def no_room() -> Iterator[None]:
    """No file may grow beyond some bytes; the system says so as it writes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@contextmanager
def no_room_in_the_end() -> Iterator[None]:
    """The system takes the bytes, and has no room for them when they are to reach the disk."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        yield


@pytest.mark.parametrize("full", [no_room, no_room_in_the_end])
def test_a_full_disk_loses_nothing(tmp_path, full):
    path = tmp_path / "last.pt"
    for epoch in range(2):
        checkpoint.save(path, {"epoch": epoch})
    with full(), pytest.raises(OSError, match=r"No space left|File too large"):
        checkpoint.save(path, {"epoch": 2})
    assert checkpoint.load(path)[0]["epoch"] == 1
    assert checkpoint.load(checkpoint.previous(path))[0]["epoch"] == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["last.previous.pt", "last.pt"]


def test_a_damaged_checkpoint_never_takes_the_place_of_the_good_one(tmp_path):
    path = tmp_path / "last.pt"
    for epoch in range(2):
        checkpoint.save(path, {"epoch": epoch})
    damaged = path.read_bytes()[:-1]
    path.unlink()
    path.write_bytes(damaged)
    with no_room_in_the_end(), pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"epoch": 1})
    assert checkpoint.load(path)[0]["epoch"] == 0
    checkpoint.save(path, {"epoch": 1})
    assert checkpoint.load(path) == ({"schema": checkpoint.SCHEMA, "epoch": 1}, None)
    assert checkpoint.load(checkpoint.previous(path))[0]["epoch"] == 0


def test_whatever_bit_flips_a_checkpoint_is_whole_or_gives_way(tmp_path):
    path = tmp_path / "last.pt"
    for epoch in range(2):
        checkpoint.save(path, {"epoch": epoch, "weights": torch.full((50,), 7.0)})
    content = path.read_bytes()
    path.unlink()
    places = random.Random(0).sample(range(8 * len(content)), 150)
    places.append(8 * (content.rindex(b"PK\x06\x07") + 16) + 5)  # what zipfile reads before its own checks
    outcomes = set()
    for place in places:
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        state, notice = checkpoint.load(path)
        outcomes.add(state["epoch"])
        assert (state["epoch"], notice is None) in ((0, False), (1, True))
        assert torch.equal(state["weights"], torch.full((50,), 7.0))
    assert outcomes == {0, 1}  # some bits, of padding, mean nothing


def test_weights_and_metadata_come_back_from_safetensors(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    path = tmp_path / "best.safetensors"
    checkpoint.save_weights(
        path, model, {"classes": ["été", "b"], "normalisation": {"mean": [1.5]}, "spec": None}
    )
    tensors, metadata = checkpoint.load_weights(path)
    assert metadata == {"classes": ["été", "b"], "normalisation": {"mean": [1.5]}, "spec": None}
    fresh = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    fresh.load_state_dict(tensors)
    for name, value in model.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value)


def test_tied_weights_are_saved(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    checkpoint.save_weights(tmp_path / "tied.safetensors", model, {})
    tensors, _ = checkpoint.load_weights(tmp_path / "tied.safetensors")
    assert torch.equal(tensors["0.weight"], tensors["1.weight"])


@pytest.mark.parametrize("content", [b"", b"no safetensors at all", b"\xff" * 64])
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "best.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"best\.safetensors cannot be read as safetensors"):
        checkpoint.load_weights(path)
