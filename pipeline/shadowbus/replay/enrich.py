"""What comparisons take over from their requests: computed segments, the mark of the trained on, kept features."""

from msgspec import Raw, Struct
from msgspec.json import Decoder
from orjson import JSONDecodeError, dumps, loads

from shadowbus.cutoff import Cutoff
from shadowbus.replay.comparison import Enricher
from shadowbus.replay.in_flight import JoinedRows
from shadowbus.replay.live import UNREADABLE
from shadowbus.replay.segment_rules import SegmentRules
from shadowbus.replay.shedding import keeps
from shadowbus.replay.trained_on import TrainedOn
from shadowbus.settings import Settings


def enrichers_of(settings: Settings, cutoff: Cutoff | None) -> list[Enricher]:
    """The additions. Features come last: other additions look for the end of what stands before."""
    found: list[Enricher] = []
    if settings.segment:
        found.append(SegmentRules(settings.segment))
    if cutoff is not None:
        found.append(TrainedOn(cutoff))
    if settings.replay.features_share > 0:
        found.append(KeptFeatures(settings.replay.features_share))
    return found


MOST_BYTES = 8_192

_SALT = b"features"


class _Request(Struct, gc=False):
    features: Raw


_read = Decoder(_Request).decode


class KeptFeatures:
    """Adds features to comparisons.

    Args:
        share: Of how many of the requests, above 0 to 1.
    """

    def __init__(self, share: float) -> None:
        self.share = share

    def onto(self, tails: list[bytes], pairs: JoinedRows) -> list[bytes]:
        """The ends of n comparisons with the features of those requests that are chosen.

        Args:
            tails: N texts that end in `}`.
            pairs: Their n requests, all of them readable.
        """
        share = self.share
        return [
            _extended(tail, value) if keeps(key, share, _SALT) else tail
            for tail, key, value in zip(tails, pairs.keys, pairs.values, strict=True)
        ]


def _extended(tail: bytes, value: bytes) -> bytes:
    try:
        # Written anew: what the model's reader skipped may be no text that others can read.
        features = dumps(loads(bytes(_read(value).features)))
    except (JSONDecodeError, TypeError, *UNREADABLE):  # not what others can read, or nested too deep to be written
        return tail
    return b"".join((tail[:-1], b',"features":', features, b"}")) if len(features) <= MOST_BYTES else tail
