"""The features of a share of the requests, kept in their comparisons.

In: the requests of a chunk. Out: the ends of their comparisons, the chosen ones with `features`. Which ones are
chosen rests on the id alone, so all shadows keep the same ones; it is another hash than that of `shedding.py`. Features
of more than `MOST_BYTES` are not kept.
"""

from msgspec import Raw, Struct
from msgspec.json import Decoder
from orjson import JSONDecodeError, dumps, loads

from shadowbus.replay.live import UNREADABLE
from shadowbus.replay.pairs import Pairs
from shadowbus.replay.shedding import keeps

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

    def onto(self, tails: list[bytes], pairs: Pairs) -> list[bytes]:
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
