import io
import random
import stat
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from training.data.archives import LIMITS, SUFFIXES, Limits, members, shown, suffix_of
from training.errors import DataError

FILES = {"train/cat/1.png": b"one", "train/dog/2.png": b"two" * 400, "test/cat/3.png": b""}
MODES = {".tar": "w:", ".tar.xz": "w:xz", ".tar.gz": "w:gz", ".tgz": "w:gz"}


def pack(path: Path, entries: Sequence[tuple[str, bytes]]) -> Path:
    suffix = suffix_of(path)
    assert suffix is not None
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in entries:
                packed.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        return path
    with tarfile.open(path, MODES[suffix]) as tar:  # type: ignore[call-overload]
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def pack_tar_member(path: Path, change: Callable[[tarfile.TarInfo], None]) -> Path:
    """Write a tar whose second member is changed."""
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("train/cat/1.png"))
        info = tarfile.TarInfo("train/cat/2.png")
        change(info)
        tar.addfile(info)
    return path


def drain(path: Path, limits: Limits = LIMITS) -> dict[str, bytes]:
    return {"/".join(m.path): m.data for m in members(path, limits) if not m.is_folder}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_archive_gives_its_files_back(tmp_path: Path, suffix: str) -> None:
    archive = pack(tmp_path / f"set{suffix}", list(FILES.items()))

    assert drain(archive) == FILES
    assert [m.position for m in members(archive)] == sorted(m.position for m in members(archive))


def test_the_longest_suffix_counts_in_any_case() -> None:
    assert suffix_of(Path("a.b.TAR.XZ")) == ".tar.xz"
    assert suffix_of(Path("a.tar.bz2")) is None
    assert suffix_of(Path("tar")) is None


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_hidden_files_and_the_litter_of_a_mac_are_passed_over(tmp_path: Path, suffix: str) -> None:
    litter = [
        ".DS_Store",
        "__MACOSX/train/cat/._1.png",
        "train/.cache/1.png",
        "train/cat/._1.png",
        "./.",
        "./",
    ]
    archive = pack(tmp_path / f"set{suffix}", [*FILES.items(), *((name, b"") for name in litter)])

    assert drain(archive) == FILES


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.png", r"\.\./evil\.png points outside the archive; refused"),
        ("train/../../evil.png", "points outside"),
        ("train\\..\\..\\evil.png", "points outside"),
        ("/etc/evil.png", "/etc/evil.png has an absolute path; refused"),
        ("\\\\server\\evil.png", "absolute path"),
        ("C:\\evil.png", "absolute path"),
    ],
)
def test_names_that_leave_the_archive_are_refused(
    tmp_path: Path, suffix: str, name: str, reason: str
) -> None:
    archive = pack(tmp_path / f"set{suffix}", [*FILES.items(), (name, b"x")])

    with pytest.raises(DataError, match=reason):
        drain(archive)
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile, while the test packs it
@pytest.mark.parametrize("again", ["train/cat/1.png", "./train//cat/1.png"])
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path, suffix: str, again: str) -> None:
    archive = pack(tmp_path / f"set{suffix}", [*FILES.items(), (again, b"other")])

    with pytest.raises(DataError, match=r"train/cat/1\.png is there twice; refused"):
        drain(archive)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (tarfile.SYMTYPE, "is a link, not a plain file"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.CHRTYPE, "is a device"),
        (tarfile.BLKTYPE, "is a device"),
        (tarfile.FIFOTYPE, "is a device"),
        (b"Z", "is a special file"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes, reason: str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "train/cat/1.png"

    archive = pack_tar_member(tmp_path / "set.tar", change)

    with pytest.raises(DataError, match=rf"train/cat/2\.png {reason}"):
        drain(archive)


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    link = zipfile.ZipInfo("train/cat/1.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr(link, "/etc/passwd")

    with pytest.raises(DataError, match=r"train/cat/1\.png is a link or device, not a plain file; refused"):
        drain(archive)


def test_a_zip_with_a_password_says_so(tmp_path: Path) -> None:
    archive = pack(tmp_path / "set.zip", list(FILES.items()))
    data = bytearray(archive.read_bytes())
    # zipfile cannot encrypt: set the flag of the central directory (PKWARE APPNOTE 4.3.12).
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)

    with pytest.raises(DataError, match=r"train/cat/1\.png is protected by a password; unpack it and name"):
        drain(archive)


def test_an_unknown_compression_names_the_way_out(tmp_path: Path) -> None:
    archive = pack(tmp_path / "set.zip", list(FILES.items()))
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 10] = 97
    archive.write_bytes(data)

    with pytest.raises(DataError, match="pack it with ordinary deflate"):
        drain(archive)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_cut_off_anywhere_is_an_error(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(0)
    archive = pack(
        tmp_path / f"set{suffix}", [(f"train/cat/{i}.png", noise.randbytes(700)) for i in range(20)]
    )
    whole = archive.read_bytes()
    # A tar ends in zeros up to a multiple of 10,240: only what lies before its end mark can be missed.
    end = len(whole.rstrip(b"\0")) if suffix == ".tar" else len(whole)
    cuts = {*range(1, end, max(1, end // 40)), 512, 1024, 2048, end - 1}

    for cut in sorted(cuts):
        archive.write_bytes(whole[:cut])
        with pytest.raises(DataError, match="truncated or damaged"):
            drain(archive)


def test_a_tar_cut_between_two_members_is_an_error(tmp_path: Path) -> None:
    archive = pack(tmp_path / "set.tar", list(FILES.items()))
    archive.write_bytes(archive.read_bytes()[:1024])  # the first header and its data

    with pytest.raises(DataError, match=r"truncated or damaged \(no end mark\)"):
        drain(archive)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_flipped_bytes_never_end_in_another_error(tmp_path: Path, suffix: str) -> None:
    noise = random.Random(1)
    archive = pack(
        tmp_path / f"set{suffix}", [(f"train/cat/{i}.png", noise.randbytes(40)) for i in range(12)]
    )
    whole = archive.read_bytes()
    refused = []

    for _ in range(300):
        broken = bytearray(whole)
        for _ in range(noise.randint(1, 4)):
            broken[noise.randrange(len(broken))] = noise.randrange(256)
        archive.write_bytes(broken)
        try:
            drain(archive)
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert not any("\n" in message for message in refused)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("data", [b"", b"<html>no such page</html>\n" * 100], ids=["empty", "a web page"])
def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path, suffix: str, data: bytes) -> None:
    archive = tmp_path / f"set{suffix}"
    archive.write_bytes(data)

    with pytest.raises(DataError, match="truncated or damaged"):
        drain(archive)


@pytest.mark.parametrize("suffix", [".tar", ".zip"])
def test_too_many_members_are_refused(tmp_path: Path, suffix: str) -> None:
    archive = pack(tmp_path / f"set{suffix}", list(FILES.items()))

    assert drain(archive, Limits(members=3)) == FILES
    with pytest.raises(DataError, match="more than 2 members; refused"):
        drain(archive, Limits(members=2))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_member_too_large_is_refused(tmp_path: Path, suffix: str) -> None:
    archive = pack(tmp_path / f"set{suffix}", [("train/cat/1.png", bytes((1 << 20) + 1))])

    with pytest.raises(DataError, match=r"train/cat/1\.png holds more than 1 MiB; refused"):
        drain(archive, Limits(member_bytes=1 << 20))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_too_large_in_all_is_refused(tmp_path: Path, suffix: str) -> None:
    archive = pack(tmp_path / f"set{suffix}", [(f"train/cat/{i}.png", bytes(1 << 19)) for i in range(5)])

    with pytest.raises(DataError, match="unpacks to more than 2 MiB; refused"):
        drain(archive, Limits(total_bytes=2 << 20))


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.gz", ".zip"])
def test_a_bomb_is_refused_while_it_unpacks(tmp_path: Path, suffix: str) -> None:
    archive = pack(tmp_path / f"set{suffix}", [(f"train/cat/{i}.png", bytes(1 << 20)) for i in range(8)])

    with pytest.raises(DataError, match=r"more than 200 times its size \(a bomb\?\); refused"):
        drain(archive, Limits(ratio_from=4 << 20))


def test_a_zip_whose_header_claims_a_small_size_is_still_a_bomb(tmp_path: Path) -> None:
    archive = pack(tmp_path / "set.zip", [("train/cat/1.png", bytes(8 << 20))])
    data = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(mark) + offset
        data[at : at + 4] = (100).to_bytes(4, "little")
    archive.write_bytes(data)

    # zipfile stops at the size claimed and misses the checksum: nothing beyond the claim is unpacked.
    with pytest.raises(DataError, match="truncated or damaged"):
        drain(archive)


def test_a_tar_header_of_negative_size_is_refused(tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.size = -512

    archive = tmp_path / "set.tar"
    info = tarfile.TarInfo("train/cat/2.png")
    change(info)
    header = info.tobuf(format=tarfile.GNU_FORMAT)
    archive.write_bytes(tarfile.TarInfo("train/cat/1.png").tobuf() + header + bytes(1024))

    with pytest.raises(DataError, match=r"train/cat/2\.png claims a negative size; refused"):
        drain(archive)


def test_a_name_of_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 6 << 30
    archive = tmp_path / "set.tar"
    archive.write_bytes(info.tobuf(format=tarfile.GNU_FORMAT) + bytes(1024))

    with pytest.raises(DataError, match="a name of 6,442,450,944 bytes; refused"):
        drain(archive)


def test_a_missing_archive_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.tar: cannot be read: No such file or directory"):
        drain(tmp_path / "none.tar")


def test_names_are_shown_on_one_harmless_line() -> None:
    assert shown("a\nb\x1b[2J\udcff") == r"a\nb\x1b[2J\udcff"
    assert shown(("train", "Käfer", "1.png")) == "train/Käfer/1.png"
    assert len(shown("x" * 5000)) == 120
