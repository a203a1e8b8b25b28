"""Dataclass to JSON and back, with errors that name the field."""

import dataclasses
import functools
import json
import types
import typing
from pathlib import Path
from typing import Any, ClassVar, Self

from records.errors import UserError


class RecordError(UserError, ValueError):
    """A record that cannot be read: which file, which field, what is wrong."""


@dataclasses.dataclass(frozen=True)
class Record:
    """Base of the records that stand in a file of their own; `schema` is the version of the format."""

    SCHEMA: ClassVar[int] = 1

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
        if schema != cls.SCHEMA:
            raise RecordError(f"{where}: field 'schema' is {schema!r}; this version reads {cls.SCHEMA}")
        rest = {key: item for key, item in value.items() if key != "schema"}
        return typing.cast(Self, _decode(cls, rest, where, ""))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the record from `path`.

        Raises:
            RecordError: The file is missing, truncated, or not such a record.
        """
        try:
            value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        except OSError as error:
            raise RecordError(f"{path}: cannot be read ({error.strerror})") from error
        except (ValueError, RecursionError) as error:  # truncated JSON, not UTF-8, or thousands of brackets
            raise RecordError(f"{path}: is not complete JSON ({error})") from error
        return cls.from_json(value, str(path))


def _decode(kind: Any, value: Any, where: str, field: str) -> Any:
    """Return `value` as `kind`; `field` is the dotted path from the record's root."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
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
    return value


def _decode_union(kind: Any, value: Any, where: str, field: str) -> Any:
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    if value is None and len(options) < len(typing.get_args(kind)):
        return None
    if len(options) == 1:
        return _decode(options[0], value, where, field)
    if type(value) in options:
        return value
    raise _wrong(where, field, str(kind), value)


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
    """Python reads NaN and Infinity, which JSON does not have and no record means."""
    raise ValueError(f"{constant} is no JSON number")


@functools.cache
def _layout(kind: Any) -> tuple[dict[str, Any], dict[str, dataclasses.Field[Any]]]:
    """Types and fields by name; kept, since resolving annotations takes longer than reading a whole trial."""
    return typing.get_type_hints(kind), {item.name: item for item in dataclasses.fields(kind)}


def _wrong(where: str, field: str, expected: str, value: Any) -> RecordError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return RecordError(f"{where}: field '{field}' must be {expected}, got {shown}")
