"""What stands before the verb: which settings file, and whether to show tracebacks."""

from dataclasses import dataclass
from pathlib import Path

import typer

from shadowbus.errors import SettingsError
from shadowbus.settings import Settings, load_settings

DEFAULT_CONFIG = Path("shadow.toml")


@dataclass(slots=True)
class Options:
    """The global flags, filled in before any verb runs; `words` is the command line from the verb on."""

    config: Path = DEFAULT_CONFIG
    debug: bool = False
    words: tuple[str, ...] = ()

    def settings(self) -> Settings:
        """The settings they point at.

        Raises:
            SettingsError: The file is missing or wrong.
        """
        return load_settings(self.config)


def options_of(context: typer.Context) -> Options:
    """The global flags of a verb's call."""
    if not isinstance(context.obj, Options):
        raise SettingsError("This verb was called without the command line's own flags.")
    return context.obj


def settings_of(context: typer.Context) -> Settings:
    """The settings of a verb's call.

    Raises:
        SettingsError: The file is missing or wrong.
    """
    return options_of(context).settings()
