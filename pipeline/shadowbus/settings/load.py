"""From the file to checked settings, and from settings to what may be shown.

Strings may hold `${NAME}` or `${NAME:-default}`, filled from the environment. A key nobody knows is an error that names
the file, the key and the nearest right one.
"""

import dataclasses
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from shadowbus.errors import SettingsError
from shadowbus.settings.check import check
from shadowbus.settings.promotion import without_password
from shadowbus.settings.reading import filled_in, read_table
from shadowbus.settings.webhook import shown_address
from shadowbus.settings.whole import Settings

_SECRET = re.compile(r"password|secret|token|credential|\bkey\b|\.key\.|pem$", re.IGNORECASE)
_ADDRESSES = {"url", "webhook"}
"""Keys whose value is an address, which may have a secret in its path."""


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a settings file.

    Raises:
        SettingsError: The file is not there, is not TOML, or a key or value in it is wrong.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"There is no settings file {path}: write one (see the README), "
            "or name yours with --config or SHADOWBUS_CONFIG."
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}.") from error
    return parse_settings(document, path, os.environ if environment is None else environment)


def parse_settings(document: Mapping[str, object], source: Path, environment: Mapping[str, str]) -> Settings:
    """Turn a parsed document into settings; `source` is named in every error."""
    if "source" in document:
        raise SettingsError(f"{source}: unknown key 'source'.")
    expanded = filled_in(document, f"{source}", environment)
    settings = read_table(Settings, expanded, source, "")
    settings = dataclasses.replace(settings, source=source)
    check(settings)
    return settings


def masked(settings: Settings) -> dict[str, object]:
    """The settings as plain data, with whatever may be a secret replaced by stars."""

    def mask(value: object, key: str) -> object:
        if isinstance(value, Mapping):
            return {name: mask(inner, name) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [mask(inner, key) for inner in value]
        if isinstance(value, Path):
            return str(value)
        if key in _ADDRESSES and isinstance(value, str) and value:
            return shown_address(value)
        if key == "mlflow_uri" and isinstance(value, str):
            return without_password(value)
        return "********" if value and isinstance(value, str) and _SECRET.search(key) else value

    return {name: mask(value, name) for name, value in dataclasses.asdict(settings).items()}
