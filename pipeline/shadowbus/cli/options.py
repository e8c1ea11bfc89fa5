"""The flags that every verb takes, before or after its name, and the shadow that a verb is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from shadowbus.clock import now_ms
from shadowbus.cutoff import moment
from shadowbus.errors import SettingsError
from shadowbus.settings import Settings, load_settings

DEFAULT_CONFIG = Path("shadow.toml")
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
WITH_VALUE = ("--config",)
SWITCHES = ("--debug", "-q", "--quiet", "-v", "--verbose")
"""The flags that every verb takes."""

NamedShadow = Annotated[str, typer.Argument(metavar="NAME", help="The shadow.", show_default=False)]
Shadow = Annotated[str, typer.Option("--shadow", metavar="NAME", help="The shadow, as an option.", show_default=False)]


@dataclass(slots=True)
class Options:
    """The global flags, filled in before any verb runs; `words` is the command line from the verb on."""

    config: Path = DEFAULT_CONFIG
    debug: bool = False
    quiet: bool = False
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


def which_shadow(named: str, shadow: str, *, required: bool = True) -> str:
    """The shadow that a verb is about, given as an argument or as `--shadow`.

    Args:
        named: The argument; empty where it is not given.
        shadow: The option; empty where it is not given.
        required: Whether the verb needs one.

    Raises:
        typer.BadParameter: Both are given and differ, or one is needed and none is given.
    """
    if named and shadow and named != shadow:
        raise typer.BadParameter(f"the argument names {named}, --shadow names {shadow}: name one shadow.")
    if required and not (named or shadow):
        raise typer.BadParameter("name a shadow, such as 'challenger'.", param_hint="NAME")
    return named or shadow


def common_first(arguments: Sequence[str]) -> list[str]:
    """The command line with the flags that every verb takes before the verb, wherever they were given.

    >>> common_first(["verdict", "challenger", "--config", "a.toml", "-q", "--json"])
    ['--config', 'a.toml', '-q', 'verdict', 'challenger', '--json']
    >>> common_first(["verdict", "--", "-q"])
    ['verdict', '--', '-q']
    """
    common, others = list[str](), list[str]()
    words = iter(arguments)
    for word in words:
        if word == "--":
            others += [word, *words]
        elif word in WITH_VALUE:
            common += [word, *[value for value in [next(words, None)] if value is not None]]
        elif word in SWITCHES or word.partition("=")[0] in WITH_VALUE:
            common.append(word)
        else:
            others.append(word)
    return common + others


def since_ms(text: str) -> int:
    """A time that is given on the command line, in milliseconds since the epoch.

    Args:
        text: Time before now (`90s`, `30m`, `2h`, `7d`), ISO 8601, or milliseconds since the epoch; empty: 0.

    Raises:
        SettingsError: It is none of these.
    """
    number, unit = text[:-1], text[-1:]
    if unit in UNITS_MS and number.isdecimal():
        return now_ms() - int(number) * UNITS_MS[unit]
    return int(text or 0) if text.isdecimal() or not text else moment(text)
