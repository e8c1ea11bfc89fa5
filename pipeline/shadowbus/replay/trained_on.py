"""Marks the comparisons of requests that the shadow's model may have been trained on.

In: the ends of comparisons, as the model's process writes them. Out: the same, with `"trained_on":true` at the end of
those whose request is from before the cut-off.
"""

from pathlib import Path

from msgspec import Struct
from msgspec.json import Decoder

from shadowbus.cutoff import Cutoff
from shadowbus.replay.pairs import Pairs
from shadowbus.shadows.bundle import read_bundle


class _Timed(Struct, gc=False):
    timestamp_ms: int


_read = Decoder(_Timed).decode


class TrainedOn:
    """Adds the mark.

    Args:
        cutoff: Until when the model was trained.
    """

    def __init__(self, cutoff: Cutoff) -> None:
        self.until_ms = cutoff.until_ms

    def onto(self, tails: list[bytes], pairs: Pairs) -> list[bytes]:
        """The ends of n comparisons, those marked whose request is from before the cut-off."""
        until_ms = self.until_ms
        return [
            tail[:-1] + b',"trained_on":true}' if _read(b"{" + tail).timestamp_ms < until_ms else tail for tail in tails
        ]


def cutoff_of(bundle: Path) -> Cutoff:
    """Until when a bundle's model was trained.

    Raises:
        BundleError: There is no bundle.
    """
    return read_bundle(bundle).manifest.cutoff
