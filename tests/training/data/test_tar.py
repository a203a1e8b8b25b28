"""The project's own reader of tar archives, against the standard library's as the oracle."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from training.data.tar import DamagedError, RefusedError, TarReader

ROOT = Path(__file__).resolve().parents[3]
NAMES = {
    "short": "train/cat/1.png",
    "100 bytes": "train/" + "n" * 90 + ".png",
    "prefix": "train/" + "d" * 120 + "/1.png",
    "long": "train/" + "/".join("e" * 60 for _ in range(8)) + "/1.png",
    "not ASCII": "train/Käfer/猫.png",
    "not UTF-8": "train/\udcff.png",
    "folder-like at 100": "train/" + "f" * 93 + "/" + "g" * 50 + ".png",
}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def packed(entries: Sequence[tuple[str, bytes]], kind: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=kind) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if name.endswith("/"):
                info.type = tarfile.DIRTYPE
            tar.addfile(info, io.BytesIO(data))
    return content.getvalue()


def read(data: bytes) -> list[tuple[str, str, bytes]]:
    reader = TarReader(io.BytesIO(data))
    return [(e.name.rstrip("/"), e.kind, reader.content(e)) for e in reader.entries()]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", FORMATS.values(), ids=FORMATS)
def test_it_reads_what_the_standard_library_writes(name: str, kind: int) -> None:
    entries = [(name, b"x" * 700), ("train/", b""), ("train/last.png", b"")]
    try:
        data = packed(entries, kind)
    except ValueError as error:
        pytest.skip(f"ustar cannot hold this name: {error}")

    assert read(data) == [
        (name, "file", b"x" * 700),
        ("train", "folder", b""),
        ("train/last.png", "file", b""),
    ]


def test_content_that_is_not_asked_for_is_passed_over() -> None:
    data = packed([("a.png", b"a" * 1500), ("b.png", b"b" * 512), ("c.png", b"c")], tarfile.GNU_FORMAT)

    assert [entry.name for entry in TarReader(io.BytesIO(data)).entries()] == ["a.png", "b.png", "c.png"]


def test_a_pax_size_replaces_the_headers() -> None:
    """How members beyond 8 GiB are packed; here with few bytes."""
    info = tarfile.TarInfo("a.png")
    info.size = 3
    info.pax_headers = {"size": "3", "comment": "a\nb"}
    extended = info.tobuf(tarfile.PAX_FORMAT)
    header = bytearray(extended[-512:])
    header[124:136] = b"0" * 11 + b"\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data = extended[:-512] + bytes(header) + b"abc" + bytes(509) + bytes(1024)

    assert read(data) == [("a.png", "file", b"abc")]


def test_a_global_header_is_no_member() -> None:
    """`git archive` writes one, with a comment alone."""
    content = io.BytesIO()
    with tarfile.open(
        fileobj=content, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "0" * 40}
    ) as tar:
        tar.addfile(tarfile.TarInfo("a.png"))

    assert read(content.getvalue()) == [("a.png", "file", b"")]


def test_a_folder_of_v7_is_known_by_its_slash() -> None:
    info = tarfile.TarInfo("train/cat/")
    info.type = tarfile.AREGTYPE
    assert read(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)) == [("train/cat", "folder", b"")]


def test_numbers_beyond_8_gib_are_read() -> None:
    info = tarfile.TarInfo("large.bin")
    info.size = 9 << 30
    (entry,) = [next(TarReader(io.BytesIO(info.tobuf(tarfile.GNU_FORMAT))).entries())]
    assert entry.size == 9 << 30


@pytest.mark.parametrize("size", [b"-0000000512\0", b"\xff" * 10 + b"\xfe\x00"], ids=["octal", "base 256"])
def test_a_negative_size_is_refused_however_it_is_written(size: bytes) -> None:
    header = bytearray(tarfile.TarInfo("cat.png").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(RefusedError, match=r"cat\.png claims a negative size"):
        read(bytes(header) + bytes(1024))


def extended(records: bytes) -> bytes:
    info = tarfile.TarInfo("fields")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    return info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)


@pytest.mark.parametrize(
    ("records", "error", "text"),
    [
        (b"11 size=-5\n", RefusedError, "negative size"),
        (b"13 size=five\n", DamagedError, "a size that is no number"),
        (b"99 path=a.png\n", DamagedError, "extended fields that are none"),
        (b"0 path=a.png\n", DamagedError, "extended fields that are none"),
        (b"path=a.png\n", DamagedError, "extended fields that are none"),
        (b"15 path=a.png\n!", DamagedError, "extended fields that are none"),
    ],
)
def test_extended_fields_that_cannot_be_are_errors(records: bytes, error: type[Exception], text: str) -> None:
    data = extended(records) + tarfile.TarInfo("a.png").tobuf(tarfile.USTAR_FORMAT) + bytes(1024)
    with pytest.raises(error, match=text):
        read(data)


@pytest.mark.parametrize("key", ["GNU.sparse.map", "GNU.sparse.name"])
def test_a_sparse_file_is_not_a_plain_one(key: str) -> None:
    record = f"{len(key) + 8} {key}=1,2\n".encode()
    data = extended(record) + tarfile.TarInfo("a.png").tobuf(tarfile.USTAR_FORMAT) + bytes(1024)
    assert read(data) == [("a.png", "a sparse file", b"")]


@pytest.mark.parametrize("kind", ["L", "K", "x", "g", "X"])
def test_no_more_than_a_mebibyte_of_names_is_read(kind: str) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind.encode(), (1 << 20) + 1
    with pytest.raises(RefusedError, match="a name of 1,048,577 bytes"):
        read(info.tobuf(tarfile.GNU_FORMAT) + bytes(2 << 20))


GUARDS = """
import json, sys, tarfile, pathlib
{change}
from training.data.archives import members
from training.errors import DataError
told = []
for path in map(pathlib.Path, sys.argv[1:]):
    try:
        told.append(["/".join(m.path) for m in members(path)])
    except DataError as error:
        told.append(str(error).replace(str(path), "FILE"))
print(json.dumps(told))
"""
WITH = """
def stop(*_): raise AssertionError("called")
tarfile.TarInfo._fromtarfile = classmethod(stop)  # as Python 3.12.3 of Ubuntu 24.04 and its like have it
"""
WITHOUT = """
if hasattr(tarfile.TarInfo, "_fromtarfile"):
    del tarfile.TarInfo._fromtarfile
"""
NONE = "sys.modules['tarfile'] = None  # no method of it can matter: it cannot even be imported"


def answers(python: str, change: str, folder: Path) -> object:
    """Return what a Python says of a sound archive, a cut one, a negative size and a giant name."""
    sound = packed([("train/cat/1.png", b"one"), ("train/dog/2.png", b"two")], tarfile.PAX_FORMAT)
    negative = tarfile.TarInfo("train/cat/2.png")
    negative.size = -512
    giant = tarfile.TarInfo("././@LongLink")
    giant.type, giant.size = tarfile.GNUTYPE_LONGNAME, 6 << 30
    files = {
        "sound.tar": sound,
        "cut.tar": sound[:1024],
        "negative.tar": negative.tobuf(tarfile.GNU_FORMAT) + bytes(1024),
        "giant.tar": giant.tobuf(tarfile.GNU_FORMAT) + bytes(1024),
    }
    paths = []
    for name, data in files.items():
        (folder / name).write_bytes(data)
        paths.append(str(folder / name))
    with tarfile.open(folder / "sound.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("train/cat/1.png"))
    ended = subprocess.run(
        [python, "-c", GUARDS.format(change=change), *paths, str(folder / "sound.tar.gz")],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)


EXPECTED = [
    ["train/cat/1.png", "train/dog/2.png"],
    "FILE: truncated or damaged (no end mark); get it again and compare its checksum",
    "FILE: train/cat/2.png claims a negative size; refused",
    "FILE: a name of 6,442,450,944 bytes; refused",
    ["train/cat/1.png"],
]


@pytest.mark.parametrize("change", [WITH, WITHOUT, NONE], ids=["with", "without", "no tarfile"])
def test_the_guards_hold_whatever_the_standard_library_has(tmp_path: Path, change: str) -> None:
    assert answers(sys.executable, change, tmp_path) == EXPECTED


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13", "python3.14", "/usr/bin/python3"])
def test_the_guards_hold_in_other_pythons(tmp_path: Path, name: str) -> None:
    python = shutil.which(name)
    asked = "import sys; sys.exit(sys.version_info < (3, 11))"
    if python is None or subprocess.run([python, "-c", asked], capture_output=True).returncode:
        pytest.skip(f"no {name} of 3.11 or newer on this machine")
    assert answers(python, "", tmp_path) == EXPECTED
