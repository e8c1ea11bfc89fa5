"""The request id of a record that may hold it anywhere."""

from typing import Any

import orjson

from shadowbus.errors import Malformed
from shadowbus.limits import MAX_ID_BYTES
from shadowbus.records import parse_object

ID_FIELD = "request_id"


def identified(value: bytes | None, path: tuple[str, ...]) -> tuple[bytes, bytes]:
    """The request id of a record, and the record with that id where every stage looks for it.

    Args:
        value: The record's bytes.
        path: The field that holds the id; fields of fields where it lies deeper.

    Returns:
        The id as a key, and the value: byte for byte as it was where `request_id` already held the id as text.

    Raises:
        Malformed: It is no JSON object, or has no usable id.
    """
    parsed = parse_object(value)
    found = _follow(parsed, path)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not 0 < len(found.encode()) <= MAX_ID_BYTES:
        raise Malformed(f"the field '{'.'.join(path)}' has to hold a request id: text of 1 to {MAX_ID_BYTES} bytes")
    if parsed.get(ID_FIELD) != found:
        return found.encode(), orjson.dumps({**parsed, ID_FIELD: found})
    return found.encode(), value or b""


def _follow(parsed: dict[str, Any], path: tuple[str, ...]) -> object:
    found: object = parsed
    for depth, name in enumerate(path, 1):
        if not isinstance(found, dict) or name not in found:
            raise Malformed(f"the field '{'.'.join(path[:depth])}' is missing")
        found = found[name]
    return found
