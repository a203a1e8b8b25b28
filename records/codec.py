"""Dataclass to JSON and back: types, ranges and finiteness are checked, and errors name the field."""

import dataclasses
import functools
import json
import math
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from records.errors import UserError
from records.text import reason


class RecordError(UserError, ValueError):
    """A record that cannot be read: which file, which field, what is wrong."""


@dataclass(frozen=True)
class Between:
    """The range of a number, both ends included, for `Annotated[int, Between(0, 9)]`."""

    least: float
    most: float


Count = Annotated[int, Between(0, 2**63 - 1)]
"""A number of things: any that a 64-bit machine can hold."""
Share = Annotated[float, Between(0, 1)]
Seconds = Annotated[float, Between(0, 1e12)]

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True)
class Record:
    """Base of the records that are a file of their own; `schema` is the version of its format."""

    SCHEMA: ClassVar[int] = 1
    OLDER: ClassVar[tuple[int, ...]] = ()
    """Versions that `upgraded` knows."""

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings, numbers, booleans and None."""
        return {"schema": self.SCHEMA, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, value: Any, where: str = "record") -> Self:
        """Build the record from parsed JSON.

        Args:
            value: What `json.loads` returned.
            where: What errors call it, a file name for instance.

        Raises:
            RecordError: An unknown schema, a missing or unknown field, a value of the wrong type.
        """
        if not isinstance(value, dict):
            raise RecordError(f"{where}: expected a JSON object, got {type(value).__name__}")
        schema = value.get("schema")
        readable = (*cls.OLDER, cls.SCHEMA)
        if not isinstance(schema, int) or isinstance(schema, bool) or schema not in readable:
            known = ", ".join(map(str, readable))
            raise RecordError(f"{where}: field 'schema' is {_shown(schema)}; this version reads {known}")
        rest = {key: item for key, item in value.items() if key != "schema"}
        if schema != cls.SCHEMA:
            rest = cls.upgraded(schema, rest)
        return typing.cast(Self, _decode(cls, rest, where, ""))

    @classmethod
    def upgraded(cls, schema: int, value: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of an older file as this version has them.

        Args:
            schema: One of `OLDER`.
            value: The fields, not checked yet.
        """
        return value

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the record from `path`.

        Raises:
            RecordError: The file is missing, truncated, or not such a record.
        """
        try:
            text = path.read_text(encoding="utf-8")
            value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        except OSError as error:
            raise RecordError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:  # truncated JSON, not UTF-8, or thousands of brackets
            raise RecordError(f"{path}: is not complete JSON ({reason(error)})") from error
        record = cls.from_json(value, str(path))
        if _SURROGATE.search(text) and not _is_text(json.dumps(value, ensure_ascii=False)):
            raise RecordError(f"{path}: holds half of a character (a lone surrogate), which no text can")
        return record


def _decode(kind: Any, value: Any, where: str, field: str) -> Any:
    """Return `value` as `kind`; `field` is the dotted path from the record's root."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if origin is Annotated:
        inner, *limits = typing.get_args(kind)
        found = _decode(inner, value, where, field)
        for limit in limits:
            if not limit.least <= found <= limit.most:
                rule = (
                    f"{'a whole number' if inner is int else 'a number'} from {limit.least} to {limit.most}"
                )
                raise _wrong(where, field, rule, value)
        return found
    if origin in (typing.Union, types.UnionType):
        return _decode_union(kind, value, where, field)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, value, where, field)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise _wrong(where, field, "a list", value)
        arguments = typing.get_args(kind)
        if arguments[-1] is Ellipsis:
            arguments = (arguments[0],) * len(value)
        if len(arguments) != len(value):
            raise _wrong(where, field, f"{len(arguments)} values", value)
        return tuple(
            _decode(each, item, where, f"{field}[{index}]")
            for index, (each, item) in enumerate(zip(arguments, value, strict=True))
        )
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(where, field, "an object", value)
        inner = typing.get_args(kind)[1]
        return {str(key): _decode(inner, item, where, f"{field}.{key}") for key, item in value.items()}
    # bool is an int to Python, not to a reader of the file; an int is a fine float.
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as error:
            raise _wrong(where, field, "a number below 1e308", value) from error
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(where, field, kind.__name__, value)
    if kind is float and not math.isfinite(value):
        raise _wrong(where, field, "a finite number", value)
    if kind is str and not _is_text(value):
        raise _wrong(where, field, "a text (it holds a lone surrogate)", value)
    return value


def _decode_union(kind: Any, value: Any, where: str, field: str) -> Any:
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    if value is None and len(options) < len(typing.get_args(kind)):
        return None
    if len(options) == 1:
        return _decode(options[0], value, where, field)
    if type(value) in options:
        return _decode(type(value), value, where, field)
    raise _wrong(where, field, " or ".join(option.__name__ for option in options), value)


def _decode_dataclass(kind: Any, value: Any, where: str, field: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(where, field, "an object", value)
    hints, known = _layout(kind)
    prefix = f"{field}." if field else ""
    for key in value:
        if key not in known:
            raise RecordError(f"{where}: unknown field '{prefix}{key}'")
    for key, item in known.items():
        optional = item.default is not dataclasses.MISSING or item.default_factory is not dataclasses.MISSING
        if key not in value and not optional:
            raise RecordError(f"{where}: field '{prefix}{key}' is missing")
    return kind(**{key: _decode(hints[key], item, where, prefix + key) for key, item in value.items()})


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python's reader takes though JSON does not have them."""
    raise ValueError(f"{constant} is no JSON number")


def _finite(text: str) -> float:
    """Read a JSON number; Python's reader makes infinity of 1e999."""
    if math.isinf(number := float(text)):
        raise ValueError(f"{text[:40]} is beyond the numbers of a computer")
    return number


def _is_text(value: str) -> bool:
    """Return whether a string can be written: half of a surrogate pair is not a character of UTF-8."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@functools.cache
def _layout(kind: Any) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    """Types and fields by name; kept, since resolving annotations takes longer than reading a whole trial."""
    return typing.get_type_hints(kind, include_extras=True), {
        item.name: item for item in dataclasses.fields(kind)
    }


def _wrong(where: str, field: str, expected: str, value: Any) -> RecordError:
    return RecordError(f"{where}: field '{field}' must be {expected}, got {_shown(value)}")


def _shown(value: Any) -> str:
    text = ascii(value) if isinstance(value, str) and not _is_text(value) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
