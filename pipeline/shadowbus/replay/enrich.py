"""What comparisons take over from their requests: computed segments, the marks of training, kept features.

In: the tails of n comparisons (`records/comparison_tail.py`) and their n requests. Out: the same tails with more
fields. The rules of computed segments are in `segment_rules.py`.
"""

from msgspec import Raw, Struct
from msgspec.json import Decoder
from orjson import JSONDecodeError, dumps, loads

from shadowbus.cutoff import Cutoff
from shadowbus.records.codec import UNREADABLE
from shadowbus.records.comparison_tail import times_of, with_field
from shadowbus.replay.comparison import Enricher
from shadowbus.replay.in_flight import JoinedRows
from shadowbus.replay.segment_rules import SegmentRules
from shadowbus.replay.shedding import keeps
from shadowbus.settings import Settings

MOST_BYTES = 8_192
"""Features of more bytes are not kept."""

_SALT = b"features"


class _Request(Struct, gc=False):
    features: Raw


_read = Decoder(_Request).decode


def enrichers_of(settings: Settings, cutoff: Cutoff | None) -> list[Enricher]:
    """The enrichers that the settings ask for; `cutoff` says until when the shadow's model was trained.

    Segments come first and features last: a tail can be split at its segments only before it has features.
    """
    found: list[Enricher] = []
    if settings.segment:
        found.append(SegmentRules(settings.segment))
    if cutoff is not None:
        found.append(TrainedOn(cutoff))
    if settings.replay.features_share > 0:
        found.append(KeptFeatures(settings.replay.features_share))
    return found


class TrainedOn:
    """Marks the comparisons of requests that the shadow's model, or the live one, may have been trained on.

    `"trained_on":true` goes to those whose request is from before the cut-off. `"before_bundle":true` goes to later
    ones from before the bundle was made: nobody knows whether the model was trained on them, so what they show is
    compared with what comes later.

    Args:
        cutoff: Until when the model was trained, and when it was bundled.
    """

    def __init__(self, cutoff: Cutoff) -> None:
        self.until_ms, self.bundled_ms = cutoff.until_ms, max(cutoff.until_ms, cutoff.bundled_ms)

    def enrich(self, tails: list[bytes], rows: JoinedRows) -> list[bytes]:
        """The tails of n comparisons, with a mark where the request is from before the bundle."""
        bundled_ms = self.bundled_ms
        return [
            tail if at >= bundled_ms else self._marked(tail, at)
            for tail, at in zip(tails, times_of(tails), strict=True)
        ]

    def _marked(self, tail: bytes, at_ms: int) -> bytes:
        return with_field(tail, b"trained_on" if at_ms < self.until_ms else b"before_bundle", b"true")


class KeptFeatures:
    """Adds the features of a share of the requests.

    The choice depends on the id alone, so all shadows keep the features of the same requests; its hash is independent
    of the one in `shedding.py`.

    Args:
        share: The share of requests, above 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def enrich(self, tails: list[bytes], rows: JoinedRows) -> list[bytes]:
        """The tails of n comparisons, with `features` where the request is chosen; all requests are readable."""
        share = self.share
        return [
            _with_features(tail, value) if keeps(key, share, _SALT) else tail
            for tail, key, value in zip(tails, rows.keys, rows.values, strict=True)
        ]


def _with_features(tail: bytes, value: bytes) -> bytes:
    try:
        # Written anew: what the model's reader skipped may be text that others cannot read.
        features = dumps(loads(bytes(_read(value).features)))
    except (JSONDecodeError, TypeError, *UNREADABLE):  # not what others can read, or nested too deep to be written
        return tail
    return with_field(tail, b"features", features) if len(features) <= MOST_BYTES else tail
