"""Which version of each shadow the settings run, as far as it can be seen from here."""

from shadowbus.errors import BundleError
from shadowbus.models.bundle import read_bundle
from shadowbus.settings import Settings


def configured(settings: Settings) -> dict[str, str]:
    """By shadow the version of the bundle that the settings name; empty where no bundle can be read on this machine."""
    found = {}
    for shadow in settings.shadow:
        try:
            found[shadow.name] = read_bundle(settings.model_path(shadow)).manifest.version
        except BundleError:
            found[shadow.name] = ""
    return found
