"""Raw requests into what the model and the comparison need of them.

In: n keys and n raw values. Out: a matrix of numbers, read straight into the features' places, where every row allows
that; else each row's features as JSON has them, and a reason for each row that is no request. Both ways accept the same
records. This is where a request enters: what is let in here, no later stage refuses.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, cast

from msgspec import Raw, Struct, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple
from orjson import JSONDecodeError, dumps, loads

from shadowbus.errors import Malformed
from shadowbus.limits import MAX_SEGMENTS_BYTES, SECONDS, is_time_ms, no_time
from shadowbus.records.codec import UNREADABLE
from shadowbus.records.comparison_tail import tails_of

WIDEST = 500
"""The most features that are read by place; names in an unexpected order have to be searched for."""

KNOWN_SEGMENTS = 2_000
"""How many different segments to keep as checked; traffic usually has few."""

Number = float | bool | None

_ESCAPED = bytes(range(32)) + b'"\\'
_UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
_NULL = Raw(b"null")


class Request(Struct, gc=False):
    """A request, with features of whatever shape."""

    request_id: str
    timestamp_ms: int
    features: dict[str, Any] | list[Any]
    segments: Raw = _NULL


class _Listed(Struct, gc=False):
    request_id: str
    timestamp_ms: int
    features: list[Number]
    segments: Raw = _NULL


_ids, _features, _times, _segments = map(attrgetter, ("request_id", "features", "timestamp_ms", "segments"))
_read = Decoder(Request).decode


@dataclass(slots=True)
class Requests:
    """The requests among n records: their rows, features and what comparisons take over from them.

    `places` are the features as n times k numbers in the order of `RequestReader.names`, or None when they have to be
    read from `features`; `malformed` says by row why a record is no request.
    """

    rows: list[int]
    features: list[Any]
    tails: list[bytes]
    places: list[tuple[Number, ...]] | None = None
    malformed: dict[int, str] = field(default_factory=dict)

    def without(self, rows: Container[int]) -> "Requests":
        """The others, to be predicted; they have no tails."""
        kept = [place for place, row in enumerate(self.rows) if row not in rows]
        features = [self.features[place] for place in kept] if self.features else []
        places = None if self.places is None else [self.places[place] for place in kept]
        return Requests([self.rows[place] for place in kept], features, [], places or None)


class RequestReader:
    """Reads requests for one model.

    Args:
        names: The features the model reads; None when it reads lists, or anything but numbers.
        width: How many features a list must have; None where lists are not read by place.
    """

    def __init__(self, names: Sequence[str] | None = None, width: int | None = None) -> None:
        self._expected = names if names and len(names) <= WIDEST and not any(map(_UNNAMEABLE.search, names)) else None
        self.names: list[str] = []
        self.width = width
        self._read_places: Decoder[Any] | None = None
        self._known: dict[bytes, bytes] = {}

    def read(self, keys: list[bytes], values: Sequence[bytes]) -> Requests:
        """All rows by place if that goes, else each with care."""
        try:
            decode = self._decoder(values)
            found = list(map(decode.decode, values))
            places = list(map(tuple if self._expected is None else astuple, map(_features, found)))
            if self.width is not None and set(map(len, places)) != {self.width}:
                raise Malformed("a list of another length")
            return Requests(list(range(len(found))), [], self._tails(keys, found), places)
        except (Malformed, *UNREADABLE):
            return self._carefully(keys, values)

    def features_of(self, value: bytes) -> Any:
        """One readable request's features, as JSON has them."""
        return _read(value).features

    def _decoder(self, values: Sequence[bytes]) -> Decoder[Any]:
        if self._read_places is None:
            if self._expected is not None:
                features = _read(values[0]).features
                if not isinstance(features, dict):
                    raise Malformed("Features in a list have no names.")
                known = set(self._expected)
                # In the order production writes them: the next name is then always the one that is looked for first.
                self.names = list(dict.fromkeys([*(name for name in features if name in known), *self._expected]))
                self._read_places = Decoder(_placed(self.names))
            elif self.width is not None:
                self._read_places = Decoder(_Listed)
            else:
                raise Malformed("This model does not read numbers by place.")
        return self._read_places

    def _carefully(self, keys: list[bytes], values: Sequence[bytes]) -> Requests:
        found = Requests([], [], [])
        for row, (key, value) in enumerate(zip(keys, values, strict=True)):
            try:
                request = read_request(value)
                found.tails += self._tails([key], [request])
                found.features.append(request.features)
                found.rows.append(row)
            except Malformed as error:
                found.malformed[row] = str(error)
        return found

    def _tails(self, keys: list[bytes], requests: Sequence[Any]) -> list[bytes]:
        """The end of each comparison: id, time and segments, and no missing features."""
        if list(map(str.encode, map(_ids, requests))) != keys:
            raise Malformed("the field 'request_id' has to be text and the same as the record's key")
        times = list(map(_times, requests))
        # The first test is for whole batches of times as they should be: two passes in C.
        if not (SECONDS.stop <= min(times) and is_time_ms(max(times))):
            _check_times(times)
        joined = b"".join(keys)
        ids = keys if joined.translate(None, _ESCAPED) == joined else [dumps(key.decode())[1:-1] for key in keys]
        raws = list(map(bytes, map(_segments, requests)))
        known = list(map(self._known.get, raws))
        segments = list(map(self._checked, raws)) if None in known else cast("list[bytes]", known)
        return tails_of(ids, times, segments)

    def _checked(self, raw: bytes) -> bytes:
        """A request's segments as compact JSON."""
        text = self._known.get(raw)
        if text is None:
            text = _compact(raw)
            if len(self._known) < KNOWN_SEGMENTS and len(raw) <= MAX_SEGMENTS_BYTES:
                self._known[raw] = text
        return text


def read_request(value: bytes) -> Request:
    """One request.

    Raises:
        Malformed: It is not a request.
    """
    try:
        return _read(value)
    except UNREADABLE as error:
        raise Malformed(f"not a request: {error}") from error


def _placed(names: Sequence[str]) -> type[Any]:
    """The type of a request whose features have places; one that is absent is None."""
    fields = [(f"place_{number}", Number, None) for number in range(len(names))]
    rename = {f"place_{number}": name for number, name in enumerate(names)}
    features = defstruct("Features", fields, rename=rename, gc=False)
    shape: list[Any] = [("request_id", str), ("timestamp_ms", int), ("features", features), ("segments", Raw, _NULL)]
    return defstruct("PlacedRequest", shape, gc=False)


def _check_times(times: Sequence[int]) -> None:
    for at_ms in times:
        if not is_time_ms(at_ms):
            raise Malformed(no_time("timestamp_ms", at_ms))


def _compact(raw: bytes) -> bytes:
    try:
        segments = loads(raw)
        text = dumps(segments or {})
    except (JSONDecodeError, TypeError) as error:  # the second: nested too deep to be written again
        raise Malformed(f"the field 'segments' cannot be read: {error}") from error
    if segments is not None and type(segments) is not dict:
        raise Malformed("the field 'segments' has to be an object")
    if len(text) > MAX_SEGMENTS_BYTES:
        raise Malformed(f"the field 'segments' has more than {MAX_SEGMENTS_BYTES} bytes")
    return text
