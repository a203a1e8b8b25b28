import io
import json
import multiprocessing
import os
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from training.data.cache import Content, Part, load_or_build
from training.errors import DataError

ROOT = Path(__file__).resolve().parents[3]
NAMES = ["facts.json", "test_images.npy", "test_labels.npy", "train_images.npy", "train_labels.npy"]


def content(seed: int = 0) -> Content:
    draw = np.random.default_rng(seed)
    train = Part(draw.integers(0, 256, (5000, 6, 4, 3), dtype=np.uint8), np.arange(5000) % 2)
    test = Part(draw.integers(0, 256, (10, 6, 4, 3), dtype=np.uint8), np.arange(10) % 2)
    return Content(("cat", "dog"), train, test)


def never(scratch: Path) -> Content:
    raise AssertionError("built again")


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_was_built_is_read_back_without_building(tmp_path: Path) -> None:
    given = content()
    first = load_or_build(tmp_path, "key", lambda _: given, quiet())
    second = load_or_build(tmp_path, "key", never, quiet())

    for cached in (first, second):
        assert cached.facts.classes == ("cat", "dog")
        assert np.array_equal(cached.arrays["train_images"], given.train.images)
        assert np.array_equal(cached.arrays["test_images"], given.test.images)
        assert cached.arrays["train_labels"].tolist() == given.train.labels.tolist()
        assert cached.arrays["train_labels"].dtype == np.int64
    assert sorted(path.name for path in (tmp_path / "key").iterdir()) == NAMES
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("train_images", np.zeros((5000, 6, 4), dtype=np.uint8)),
        ("train_images", np.zeros((5000, 6, 4, 3), dtype=np.float32)),
        ("test_labels", np.zeros(9, dtype=np.int64)),
        ("test_labels", np.zeros(10, dtype=np.float64)),
        ("test_labels", np.full(10, 2, dtype=np.int64)),
        ("test_labels", np.full(10, -1, dtype=np.int64)),
    ],
    ids=["no colours", "floats", "fewer", "float labels", "class 2", "class -1"],
)
def test_a_cache_with_good_checksums_and_foreign_arrays_is_built_again(
    tmp_path: Path, name: str, array: np.ndarray
) -> None:
    load_or_build(tmp_path, "key", lambda _: content(), quiet())
    path, sealed = tmp_path / "key" / f"{name}.npy", tmp_path / "key" / "facts.json"
    np.save(path, array)
    facts = json.loads(sealed.read_text(encoding="utf-8"))["facts"]
    facts["checksums"][name] = zlib.crc32(path.read_bytes())
    seal = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    sealed.write_text(json.dumps({"facts": facts, "crc32": seal}), encoding="utf-8")
    console = quiet()

    found = load_or_build(tmp_path, "key", lambda _: content(), console)

    assert f"is damaged ({name}.npy" in said(console)
    assert np.array_equal(found.arrays[name], load_or_build(tmp_path, "key", never, quiet()).arrays[name])


def test_images_are_mapped_and_read_only(tmp_path: Path) -> None:
    images = load_or_build(tmp_path, "key", lambda _: content(), quiet()).arrays["train_images"]

    assert isinstance(images, np.memmap)
    assert not images.flags.writeable


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path: Path) -> None:
    given = content()
    facts = load_or_build(tmp_path, "key", lambda _: given, quiet()).facts

    pixels = given.train.images.reshape(-1, 3).astype(np.float64)
    assert facts.mean == pytest.approx(pixels.mean(axis=0))
    assert facts.std == pytest.approx(pixels.std(axis=0))


def test_an_order_is_applied_to_images_and_labels(tmp_path: Path) -> None:
    given = content()
    order = np.random.default_rng(1).permutation(5000)
    part = Part(given.train.images, np.arange(5000), order)
    classes = tuple(map(str, range(5000)))  # a cache holds no label without a class
    arrays = load_or_build(tmp_path, "key", lambda _: Content(classes, part, given.test), quiet()).arrays

    assert arrays["train_labels"].tolist() == order.tolist()
    assert np.array_equal(arrays["train_images"], given.train.images[order])


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, flip, empty, Path.unlink])
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_cache_is_built_again_with_a_notice(
    tmp_path: Path, name: str, harm: Callable[[Path], None]
) -> None:
    load_or_build(tmp_path, "key", lambda _: content(), quiet())
    harm(tmp_path / "key" / name)
    console = quiet()

    again = load_or_build(tmp_path, "key", lambda _: content(), console)

    assert "key is damaged (" in said(console)
    assert "building it again" in said(console)
    assert np.array_equal(again.arrays["train_images"], content().train.images)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    load_or_build(tmp_path, "key", never, quiet())


def test_a_cache_that_never_pickles_refuses_an_array_of_objects(tmp_path: Path) -> None:
    load_or_build(tmp_path, "key", lambda _: content(), quiet())
    path = tmp_path / "key" / "train_labels.npy"
    facts = tmp_path / "key" / "facts.json"
    np.save(path, np.array([{}, {}], dtype=object), allow_pickle=True)
    honest = json.loads(facts.read_text())["facts"]
    honest["checksums"]["train_labels"] = zlib.crc32(path.read_bytes())
    seal = zlib.crc32(json.dumps(honest, sort_keys=True).encode())
    facts.write_text(json.dumps({"facts": honest, "crc32": seal}))
    console = quiet()

    load_or_build(tmp_path, "key", lambda _: content(), console)

    assert "holds Python objects, which are never loaded" in said(console)
    assert "allow_pickle" not in said(console)


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails(scratch: Path) -> Content:
        (scratch / "large").write_bytes(bytes(1000))
        raise DataError("no images")

    with pytest.raises(DataError, match="no images"):
        load_or_build(tmp_path, "key", fails, quiet())
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_is_removed_after_a_day(tmp_path: Path) -> None:
    old, young = tmp_path / ".key.abc.tmp", tmp_path / ".key.def.tmp"
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (0, time.time() - 25 * 3600))

    load_or_build(tmp_path, "key", lambda _: content(), quiet())

    assert sorted(path.name for path in tmp_path.iterdir()) == [young.name, "key"]


def test_the_loser_of_a_race_uses_the_winners_folder(tmp_path: Path) -> None:
    def overtaken(scratch: Path) -> Content:
        load_or_build(tmp_path, "key", lambda _: content(1), quiet())
        return content(2)

    cached = load_or_build(tmp_path, "key", overtaken, quiet())

    assert np.array_equal(cached.arrays["train_images"], content(1).train.images)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_the_loser_of_a_race_replaces_a_damaged_winner(tmp_path: Path) -> None:
    def overtaken(scratch: Path) -> Content:
        load_or_build(tmp_path, "key", lambda _: content(1), quiet())
        cut(tmp_path / "key" / "test_images.npy")
        return content(2)

    cached = load_or_build(tmp_path, "key", overtaken, quiet())

    assert np.array_equal(cached.arrays["train_images"], content(2).train.images)
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def build_in_a_process(folder: Path, start: Event) -> None:
    start.wait(20)
    facts = folder / "key" / "facts.json"
    for _ in range(5):
        if os.getpid() % 2:
            facts.unlink(missing_ok=True)  # and mends it right after: nobody is left alone with the damage
        cached = load_or_build(folder, "key", lambda _: content(), quiet())
        assert np.array_equal(cached.arrays["train_images"], content().train.images)


def test_processes_that_build_and_damage_at_once_do_not_corrupt_each_other(tmp_path: Path) -> None:
    # Not fork: a child of a process with threads (torch's, of other tests) may find a lock taken for ever.
    context = multiprocessing.get_context("forkserver")
    start = context.Event()
    processes = [context.Process(target=build_in_a_process, args=(tmp_path, start)) for _ in range(3)]
    for process in processes:
        process.start()
    start.set()
    for process in processes:
        process.join(30)

    assert [process.exitcode for process in processes] == [0] * 3
    cached = load_or_build(tmp_path, "key", lambda _: content(), quiet())
    assert np.array_equal(cached.arrays["train_images"], content().train.images)


KILLED = """
import io, os, signal, sys
from pathlib import Path
import numpy as np
from rich.console import Console
from training.data.cache import Content, Part, load_or_build

name, count = sys.argv[2], int(sys.argv[3])
owner = Path if name == "rename" else os
whole = getattr(owner, name)

def deadly(*args):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(*args)

setattr(owner, name, deadly)
part = Part(np.ones((9, 2, 2, 3), dtype=np.uint8), np.zeros(9, dtype=np.int64))
content = Content(("a", "b"), part, part)
load_or_build(Path(sys.argv[1]), "key", lambda _: content, Console(file=io.StringIO()))
"""


@pytest.mark.parametrize(("name", "count"), [("fsync", 1), ("fsync", 4), ("fsync", 5), ("rename", 1)])
def test_a_writer_that_is_killed_leaves_no_cache_behind(tmp_path: Path, name: str, count: int) -> None:
    arguments = [sys.executable, "-c", KILLED, str(tmp_path), name, str(count)]
    killed = subprocess.run(arguments, cwd=ROOT, check=False)

    assert killed.returncode == -9
    assert not (tmp_path / "key").exists()
    console = quiet()
    cached = load_or_build(tmp_path, "key", lambda _: content(), console)
    assert np.array_equal(cached.arrays["train_images"], content().train.images)
    assert said(console) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(DataError, match=r"cannot write the cache .*; choose another with --cache"):
            load_or_build(tmp_path / "cache", "key", lambda _: content(), quiet())
    finally:
        tmp_path.chmod(stat.S_IRWXU)


def test_a_file_where_the_cache_should_be_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")

    with pytest.raises(
        DataError, match=r"cannot write the cache .*cache: File exists; choose another with --cache"
    ):
        load_or_build(tmp_path / "cache", "key", never, quiet())


LIMITED = """
import io, resource, sys
from pathlib import Path
import numpy as np
from rich.console import Console
from training.data.cache import Content, Part, load_or_build
from training.errors import DataError

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
part = Part(np.ones((2000, 8, 8, 3), dtype=np.uint8), np.zeros(2000, dtype=np.int64))
try:
    content = Content(("a", "b"), part, part)
    load_or_build(Path(sys.argv[1]), "key", lambda _: content, Console(file=io.StringIO()))
except DataError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_a_disk_that_takes_no_more_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", LIMITED, str(tmp_path / "cache")]
    run = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)

    assert "File too large; choose another with --cache" in run.stdout
    assert list((tmp_path / "cache").iterdir()) == []
