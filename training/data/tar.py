"""A reader of tar archives, from the format's own definition: one pass, front to back, files into memory.

The standard library's `tarfile` is not used. It shows neither the end mark nor a header's size before it acts
on them, other than through methods that are called from different places in different releases
(`TarInfo._fromtarfile`, in Debian 12's 3.11 and in Python 3.12.3, is one of them): a guard against negative
sizes (CVE-2025-8194) or names of gigabytes that hangs on such a method is off where the method is not called.

    header of 512 bytes | content, filled up to a multiple of 512 | header | content | ... | 512 zeros

Formats: POSIX 1003.1-2017, "pax Interchange Format" and "ustar Interchange Format" (pubs.opengroup.org);
GNU's names beyond 100 bytes (types L and K) and numbers beyond 8 GiB (GNU tar manual, "Basic Tar Format");
and V7's, which had neither.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

BLOCK = 512
LARGEST_NAME = 1 << 20
"""Bytes of a long name or of extended fields: a path of an operating system has some thousand at most."""
DAMAGE = "header {place:,} bytes from the start: {what}"

_FILES = (b"0", b"\0", b"7")
"""Types of plain files: ustar's, V7's, and "contiguous", which is read as plain."""
_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL = b"L", b"K", (b"x", b"X"), b"g"
_KINDS = {
    **dict.fromkeys((b"1", b"2"), "a link"),
    **dict.fromkeys((b"3", b"4", b"6"), "a device"),
    b"S": "a sparse file",
}
_NUMBER = re.compile(rb"(-?)([0-7]*)")


class RefusedError(Exception):
    """A header claims what no honest packer writes; the text says which member claims what."""


class DamagedError(ValueError):
    """The bytes are not a tar archive, or it is cut off."""


class Readable(Protocol):
    """What an archive is read from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes, and none at the end alone."""


@dataclass(frozen=True)
class Entry:
    """A member, whose content has not been read."""

    name: str
    """Name as the archive spells it; bytes that are not UTF-8 are kept as surrogates."""
    size: int
    """Bytes of content; 0 for a folder."""
    kind: str
    """"file", "folder", or in words what else it is: "a link"."""


@dataclass
class _Extended:
    """Fields that replace those of the next header, where they are not None."""

    name: str | None = None
    size: int | None = None
    sparse: bool = False

    def take(self, other: "_Extended") -> None:
        self.name = self.name if other.name is None else other.name
        self.size = self.size if other.size is None else other.size
        self.sparse = self.sparse or other.sparse


@dataclass
class TarReader:
    """Reads an archive member by member; `entries` says what comes, `content` reads it.

    Attributes:
        source: The archive's bytes, unpacked.
    """

    source: Readable
    _place: int = 0
    """Bytes read so far."""
    _left: int = 0
    """Bytes of the present member that have not been read, with what fills its last block."""
    _common: _Extended = field(default_factory=_Extended)

    def entries(self) -> Iterator[Entry]:
        """Yield the members in order; content that is not asked for is passed over.

        Raises:
            DamagedError: A header has not its checksum, or the archive ends before its end mark.
            RefusedError: A size is negative, or a name longer than `LARGEST_NAME`.
        """
        own = _Extended()
        while True:
            self._pass_over()
            place, block = self._place, self._exactly(BLOCK, "no end mark")
            if not any(block):
                return  # the end mark is two such blocks; one of them is what every reader takes for it
            header = _Header.read(block, place)
            if header.type in (_LONG_NAME, _LONG_LINK, *_EXTENDED, _GLOBAL):
                if header.size > LARGEST_NAME:
                    raise RefusedError(f"a name of {header.size:,} bytes")
                data = self._exactly(header.size, "a name is cut off")
                self._left = -header.size % BLOCK
                if header.type == _LONG_NAME:
                    own.name = _text(data)
                elif header.type in _EXTENDED:
                    own.take(_extended(data, place))
                elif header.type == _GLOBAL:
                    self._common.take(_extended(data, place))
                continue
            fields = _Extended()
            fields.take(self._common)
            fields.take(own)
            own = _Extended()
            yield self._entry(header, fields)

    def content(self, entry: Entry) -> bytes:
        """Return the content of the entry that came last.

        Raises:
            DamagedError: The archive ends before it does.
        """
        data = self._exactly(entry.size, f"{entry.name} is cut off")
        self._left -= entry.size
        return data

    def _entry(self, header: "_Header", fields: _Extended) -> Entry:
        name = header.name if fields.name is None else fields.name
        size = header.size if fields.size is None else fields.size
        # V7 knew no type of folders: a plain file whose name ends in a slash is one.
        if header.type == b"5" or (header.type == b"\0" and name.endswith("/")):
            return Entry(name, 0, "folder")
        kind = "file" if header.type in _FILES else _KINDS.get(header.type, "a special file")
        if fields.sparse:
            kind = "a sparse file"
        self._left = size + -size % BLOCK
        return Entry(name, size, kind)

    def _pass_over(self) -> None:
        while self._left:
            self._left -= len(self._exactly(min(self._left, LARGEST_NAME), "its last member is cut off"))

    def _exactly(self, size: int, otherwise: str) -> bytes:
        pieces = []
        while size:
            piece = self.source.read(min(size, LARGEST_NAME))
            if not piece:
                raise DamagedError(otherwise)
            self._place += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)


@dataclass(frozen=True)
class _Header:
    """The fields of a header that a reader of plain files needs."""

    name: str
    size: int
    type: bytes

    @classmethod
    def read(cls, block: bytes, place: int) -> "_Header":
        """Read a header of 512 bytes that begins `place` bytes from the archive's start.

        name 0-99, mode, owner and group to 123, size 124-135, time to 147, checksum 148-155, type 156,
        link 157-256, magic 257-262, ..., prefix of the name 345-499.
        """
        # The sum of all bytes, those of the checksum itself taken for spaces; some old packers summed signed
        # bytes, each of which is 256 less where its highest bit is set.
        plain = block[:148] + b" " * 8 + block[156:]
        total = sum(plain)
        signed = total - 256 * sum(byte > 127 for byte in plain)
        if _number(block[148:156], place) not in (total, signed):
            raise DamagedError(DAMAGE.format(place=place, what="a wrong checksum"))
        name = _text(block[:100])
        if block[257:263] == b"ustar\0" and (prefix := _text(block[345:500])):
            name = f"{prefix}/{name}"
        size = _number(block[124:136], place)
        if size < 0:
            raise RefusedError(f"{name} claims a negative size")
        return cls(name, size, block[156:157])


def _number(field: bytes, place: int) -> int:
    """Read a number: octal digits, or GNU's form, whose first byte is 128 (positive) or 255 (negative).

    For example b"0000644" is 420, the bytes 128 0 0 0 0 0 0 0 1 0 0 0 are 2**24, and twelve bytes 255 are -1.
    """
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:
        return int.from_bytes(field, "big", signed=True)
    found = _NUMBER.fullmatch(field.partition(b"\0")[0].strip())
    if found is None:
        raise DamagedError(DAMAGE.format(place=place, what="a number that is none"))
    sign, digits = found.groups()
    return int(sign + (digits or b"0"), 8)


def _extended(data: bytes, place: int) -> _Extended:
    """Read the records of an extended header: length, space, key, "=", value and a line feed each.

    The length counts itself: "18 path=cat/1.png" has 2 + 1 + 4 + 1 + 9 bytes, and its line feed is the 18th.
    """
    found = _Extended()
    at = 0
    while at < len(data):
        digits, space, _ = data[at : at + 10].partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        record = data[at + len(digits) + 1 : at + length]
        key, equals, value = record.partition(b"=")
        if not space or not equals or at + length > len(data) or record[-1:] != b"\n":
            raise DamagedError(DAMAGE.format(place=place, what="extended fields that are none"))
        value = value[:-1]
        if key == b"path":
            found.name = _text(value)
        elif key == b"size":
            if value[:1] == b"-":
                raise RefusedError("extended fields claim a negative size")
            if not value.isdigit() or len(value) > 20:
                raise DamagedError(DAMAGE.format(place=place, what="a size that is no number"))
            found.size = int(value)
        elif key.startswith(b"GNU.sparse."):
            found.sparse = True
        at += length
    return found


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
