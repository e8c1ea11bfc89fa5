"""Options of a task, as they came from the settings, checked."""

import math
from collections.abc import Mapping

from shadowbus.errors import SettingsError


def number(options: Mapping[str, object], name: str, default: float, least: float, most: float = math.inf) -> float:
    """A finite number within bounds.

    Raises:
        SettingsError: It is something else.
    """
    value = options.get(name, default)
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not least <= float(str(value)) <= most:
        bounds = f" of at least {least:g}" if most == math.inf else f" from {least:g} to {most:g}"
        bounds = "" if least == -math.inf else bounds
        raise SettingsError(f"'{name}' must be a number{bounds}, not {value!r}.")
    return float(str(value))


def count(options: Mapping[str, object], name: str, default: int) -> int:
    """A whole number of at least 1.

    Raises:
        SettingsError: It is something else.
    """
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise SettingsError(f"'{name}' must be a whole number of at least 1, not {value!r}.")
    return value


def flag(options: Mapping[str, object], name: str, *, default: bool) -> bool:
    """True or false.

    Raises:
        SettingsError: It is something else.
    """
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise SettingsError(f"'{name}' must be true or false, not {value!r}.")
    return value


def text(options: Mapping[str, object], name: str, default: str) -> str:
    """A text that is not empty.

    Raises:
        SettingsError: It is something else.
    """
    value = options.get(name, default)
    if not isinstance(value, str) or not value.strip():
        raise SettingsError(f"'{name}' must be a text, not {value!r}.")
    return value


def texts(options: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A list of texts, empty when absent.

    Raises:
        SettingsError: It is something else.
    """
    value = options.get(name, [])
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) and part for part in value):
        raise SettingsError(f"'{name}' must be a list of texts, not {value!r}.")
    return tuple(value)
