"""Segments that are computed from features, by the rules of the settings.

In: the requests of a chunk. Out: the tails of their comparisons, with one more segment for each rule. A segment of the
same name that the request brings itself stays as it is. Each request has a value for each rule: one of those the rule
lists, `other`, or `missing` where there is no such feature or it is of another kind.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct, defstruct
from msgspec.json import Decoder
from msgspec.structs import astuple
from orjson import dumps, loads

from shadowbus.errors import Malformed
from shadowbus.records.codec import UNREADABLE
from shadowbus.records.comparison_tail import split_at_segments
from shadowbus.replay.in_flight import JoinedRows
from shadowbus.replay.model.requests import read_request
from shadowbus.settings.segment import SegmentSettings

MISSING, OTHER = "missing", "other"

KNOWN = 4_096
"""How many combinations of own and computed segments to keep; traffic usually has few."""

_UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')


class SegmentRules:
    """Adds computed segments to comparisons.

    Args:
        rules: At least one, each with another name.
    """

    def __init__(self, rules: Sequence[SegmentSettings]) -> None:
        self._features = list(dict.fromkeys(rule.feature for rule in rules))
        self._names = [rule.name for rule in rules]
        self._rules = [(self._features.index(rule.feature), valuer(rule)) for rule in rules]
        self._read = Decoder(_placed(self._features)).decode
        self._known: dict[tuple[bytes, tuple[str, ...]], bytes] = {}

    def enrich(self, tails: list[bytes], rows: JoinedRows) -> list[bytes]:
        """The tails of n comparisons, with the computed segments of their requests, all of which are readable."""
        return list(map(self._extended, tails, self._values(rows.values)))

    def _values(self, values: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        """The features that the rules need, by request; None where there is none."""
        for value in values:
            try:
                yield astuple(self._read(value).features)
            except UNREADABLE:
                yield self._carefully(value)

    def _carefully(self, value: bytes) -> tuple[Any, ...]:
        """The model's process has read it. At the limits of depth it may be that this one cannot."""
        try:
            features = read_request(value).features
        except Malformed:
            return (None,) * len(self._features)
        return tuple(_by_place(features, name) for name in self._features)

    def _extended(self, tail: bytes, found: tuple[Any, ...]) -> bytes:
        before, own, after = split_at_segments(tail)
        place = own, tuple([value_of(found[feature]) for feature, value_of in self._rules])
        segments = self._known.get(place)
        if segments is None:
            segments = dumps({**dict(zip(self._names, place[1], strict=True)), **loads(own)})
            if len(self._known) < KNOWN:
                self._known[place] = segments
        return b"".join((before, segments, after))


def valuer(rule: SegmentSettings) -> Callable[[object], str]:
    """What a rule makes of a feature.

    >>> amount = valuer(SegmentSettings("amount", "amount", edges=(100, 1000)))
    >>> amount(99.5), amount(100), amount(10**9), amount("100")
    ('under 100', '100 to 1000', '1000 or more', 'missing')
    >>> country = valuer(SegmentSettings("country", "country", values=("DE", "FR")))
    >>> country("DE"), country("AT"), country(None)
    ('DE', 'other', 'missing')
    """
    if rule.edges:
        ends = [f"{edge:.15g}" for edge in rule.edges]
        between = [f"{low} to {high}" for low, high in pairwise(ends)]
        names = [f"under {ends[0]}", *between, f"{ends[-1]} or more"]

        def band(value: object) -> str:
            return names[bisect_right(rule.edges, value)] if isinstance(value, int | float) else MISSING

        return band
    known = frozenset(rule.values)

    def named(value: object) -> str:
        if isinstance(value, bool):
            value = "true" if value else "false"
        if not isinstance(value, str | int):
            return MISSING
        text = value if isinstance(value, str) else str(value) if abs(value) < 10**18 else OTHER
        return text if text in known else OTHER

    return named


def _by_place(features: Any, name: str) -> object:
    if isinstance(features, dict):
        return features.get(name)
    return features[int(name)] if name.isdecimal() and int(name) < len(features) else None


def _placed(names: Sequence[str]) -> type[Any]:
    """The type of a request that reads only these features."""
    if any(map(_UNNAMEABLE.search, names)):
        return _Nothing
    fields = [(f"place_{number}", Any, None) for number in range(len(names))]
    rename = {f"place_{number}": name for number, name in enumerate(names)}
    return defstruct("Request", [("features", defstruct("Features", fields, rename=rename, gc=False))], gc=False)


class _Nothing(Struct, forbid_unknown_fields=True):
    """Reads no request, so that each is read with care."""
