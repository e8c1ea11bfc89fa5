"""What the bundles that the settings name say: their versions, and until when their models were trained."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from shadowbus.cutoff import Cutoff
from shadowbus.errors import BundleError
from shadowbus.models.bundle import read_bundle
from shadowbus.settings import Settings


def configured(settings: Settings) -> dict[str, str]:
    """The version of each shadow's bundle, by shadow; empty where the bundle cannot be read on this machine."""
    found = {}
    for shadow in settings.shadow:
        try:
            found[shadow.name] = read_bundle(settings.model_path(shadow)).manifest.version
        except BundleError:
            found[shadow.name] = ""
    return found


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
