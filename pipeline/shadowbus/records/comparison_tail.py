"""The tail of a comparison: what it takes over from its request, as JSON text that is written once and then extended.

The grammar, as bytes without spaces between the parts:

    "request_id":TEXT,"timestamp_ms":INTEGER,"segments":OBJECT,"missing_features":[TEXT,...] {,NAME:VALUE}* }

A tail is the rest of an object whose beginning `replay/comparison.py` writes. The model's process makes it where it
parses the request anyway, on another core; replay only puts fields behind it. All code that takes such text apart is
in this file. Guaranteed: what goes in as a tail comes out as one.
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.json import Decoder
from orjson import JSONDecodeError, dumps, loads

from shadowbus.limits import EARLIEST_MS, LATEST_MS
from shadowbus.records.json_column import json_column

MAX_TAIL_BYTES = 64 * 1024
"""A tail from the model's process may have this many bytes; of a longer one the names of missing features are cut."""

MOST_LACKING, LONGEST_NAME = 200, 100

_SEGMENTS, _MISSING = b',"segments":', b',"missing_features":['


class Tail(Struct, gc=False, forbid_unknown_fields=True):
    """A tail as the model's process writes it, to check it."""

    request_id: str
    timestamp_ms: Annotated[int, Meta(ge=EARLIEST_MS, lt=LATEST_MS)]
    segments: dict[str, Any]
    missing_features: list[str]


class _Time(Struct, gc=False):
    timestamp_ms: int


_tail, _time = Decoder(Tail).decode, Decoder(_Time).decode


def tails_of(ids: Iterable[bytes], times: Sequence[int], segments: Iterable[bytes]) -> list[bytes]:
    """The tails of n requests that lack no feature.

    Args:
        ids: Their n ids as the inside of JSON texts.
        times: Their n times, in milliseconds since the epoch.
        segments: Their n segments as JSON objects.
    """
    columns = (
        repeat(b'"request_id":"'),
        ids,
        repeat(b'","timestamp_ms":'),
        json_column(times),
        repeat(_SEGMENTS),
        segments,
        repeat(_MISSING + b"]}"),
    )
    return list(map(b"".join, zip(*columns, strict=False)))


def tail_of(request_id: str, timestamp_ms: int) -> bytes:
    """The tail of a comparison whose request is not known: it has no segments, and lacks nothing."""
    return dumps({"request_id": request_id, "timestamp_ms": timestamp_ms, "segments": {}, "missing_features": []})[1:]


def read_tails(tails: Iterable[bytes]) -> list[Tail]:
    """Tails that somebody else wrote.

    Raises:
        DecodeError: One of them is no tail.
    """
    return list(map(_tail, map(b"{".__add__, tails)))


def times_of(tails: Iterable[bytes]) -> list[int]:
    """The requests' times, in milliseconds since the epoch."""
    return [_time(b"{" + tail).timestamp_ms for tail in tails]


def lacking(tail: bytes, names: Sequence[str]) -> bytes:
    """A fresh tail whose request lacks these features."""
    return tail.removesuffix(b"[]}") + dumps(names) + b"}"


def shortened(tail: bytes) -> bytes:
    """A tail with only the first of the features that its request lacks, if it is too long."""
    if len(tail) <= MAX_TAIL_BYTES:
        return tail
    try:
        parts = loads(b"{" + tail)
        names = [str(name)[:LONGEST_NAME] for name in parts["missing_features"][:MOST_LACKING]]
        return dumps({**parts, "missing_features": names})[1:]
    except (JSONDecodeError, KeyError, TypeError):
        return tail


def split_at_segments(tail: bytes) -> tuple[bytes, bytes, bytes]:
    """What comes before the segments, the segments as a JSON object, and what comes after them.

    The tail must not have `features` yet: these may hold any text.

    >>> split_at_segments(tail_of("r-1", 7))
    (b'"request_id":"r-1","timestamp_ms":7,"segments":', b'{}', b',"missing_features":[]}')
    """
    # No text in JSON holds a bare quote, so an id cannot hold the first mark, and the last one of the second is it.
    start, end = tail.index(_SEGMENTS) + len(_SEGMENTS), tail.rindex(_MISSING)
    return tail[:start], tail[start:end], tail[end:]


def with_field(tail: bytes, name: bytes, value: bytes) -> bytes:
    """The same with one more field; `value` is JSON.

    >>> with_field(tail_of("r-1", 7), b"trained_on", b"true")[-20:]
    b'],"trained_on":true}'
    """
    return b"".join((tail[:-1], b',"', name, b'":', value, b"}"))
