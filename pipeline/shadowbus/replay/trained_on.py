"""Marks the comparisons of requests that the shadow's model, or the live one, may have been trained on.

In: the ends of comparisons, as the model's process writes them. Out: the same, with `"trained_on":true` at the end of
those whose request is from before the cut-off, and `"before_bundle":true` of those from after it and from before the
bundle was made: nobody said that they were not trained on, so what they show is held against what comes later.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from msgspec import Struct
from msgspec.json import Decoder

from shadowbus.cutoff import Cutoff
from shadowbus.models.bundle import read_bundle
from shadowbus.replay.in_flight import JoinedRows
from shadowbus.settings import Settings


class _Timed(Struct, gc=False):
    timestamp_ms: int


_read = Decoder(_Timed).decode


class TrainedOn:
    """Adds the marks.

    Args:
        cutoff: Until when the model was trained, and when it was bundled.
    """

    def __init__(self, cutoff: Cutoff) -> None:
        self.until_ms, self.bundled_ms = cutoff.until_ms, max(cutoff.until_ms, cutoff.bundled_ms)

    def onto(self, tails: list[bytes], pairs: JoinedRows) -> list[bytes]:
        """The ends of n comparisons, those marked whose request is from before."""
        bundled_ms = self.bundled_ms
        times = [_read(b"{" + tail).timestamp_ms for tail in tails]
        return [tail if at >= bundled_ms else tail[:-1] + self._mark(at) for tail, at in zip(tails, times, strict=True)]

    def _mark(self, at_ms: int) -> bytes:
        return b',"trained_on":true}' if at_ms < self.until_ms else b',"before_bundle":true}'


def cutoff_of(bundle: Path) -> Cutoff:
    """Until when a bundle's model was trained.

    Raises:
        BundleError: There is no bundle.
    """
    return read_bundle(bundle).manifest.cutoff


def with_live(cutoff: Cutoff | None, settings: Settings) -> Cutoff | None:
    """The later one of a shadow's cut-off and the live model's, where that is known: from the settings, else a control.

    Raises:
        BundleError: A control has no bundle.
    """
    live = settings.live_cutoff or next(_of_controls(settings), None)
    if live is None or (cutoff is not None and cutoff.until_ms >= live.until_ms):
        return cutoff
    return live if cutoff is None else replace(live, bundled_ms=cutoff.bundled_ms)


def _of_controls(settings: Settings) -> Iterator[Cutoff]:
    """What the bundles of controls, which are the live model, say for certain."""
    for shadow in settings.shadow:
        if shadow.control and (known := cutoff_of(settings.model_path(shadow))).source in ("flag", "mlflow"):
            yield Cutoff(known.until_ms, "live")
