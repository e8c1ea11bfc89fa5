"""Records to bytes and back.

Values are JSON. Unknown fields are ignored and never fail, so that a newer writer and an older reader go together; `v`
is the schema version.
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
import orjson

from shadowbus.errors import Malformed

VERSION = 1

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding JSON into a type raises for a record that is not of that type."""

Kind = TypeVar("Kind")

_WRONG = re.compile(r"Expected `(.+)`, got `(.+)` - at `\$\.(.+)`")
_MISSING = re.compile(r"Object missing required field `(.+?)`(?: - at `\$\.(.+)`)?")


def encode(record: object) -> bytes:
    """The JSON bytes of a record."""
    return orjson.dumps(record, option=orjson.OPT_NON_STR_KEYS)


def decode(kind: type[Kind], value: bytes | None) -> Kind:
    """Read one record from its bytes.

    Raises:
        Malformed: It is not JSON, not an object, or a field is missing or of a wrong type; the message says which.
    """
    return from_object(kind, parse_object(value))


def parse_object(value: bytes | memoryview | None) -> dict[str, Any]:
    """Read bytes that have to be one JSON object.

    Raises:
        Malformed: They are not.
    """
    if value is None:
        raise Malformed("the value is null")
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise Malformed(f"a JSON object is needed, not {type(parsed).__name__}")
    return parsed


def from_object(kind: type[Kind], parsed: Mapping[str, object]) -> Kind:
    """Build a record from a parsed JSON object, checking each field's type.

    Raises:
        Malformed: A field is missing or of a wrong type.
    """
    try:
        return msgspec.convert(parsed, kind)
    except msgspec.ValidationError as error:
        raise Malformed(_in_words(str(error))) from None


def _in_words(error: str) -> str:
    """What msgspec says, by the name of the field.

    >>> _in_words("Expected `float | null`, got `str` - at `$.live.latency_ms`")
    "the field 'live.latency_ms' has to be float or null, not str"
    >>> _in_words("Object missing required field `model` - at `$.live`")
    "the field 'live.model' is missing"
    """
    if found := _WRONG.fullmatch(error):
        wanted, got, name = found.groups()
        return f"the field '{name}' has to be {wanted.replace(' | ', ' or ')}, not {got}"
    if found := _MISSING.fullmatch(error):
        return f"the field '{'.'.join(filter(None, (found[2], found[1])))}' is missing"
    return error
