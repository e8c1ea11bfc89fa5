"""A parsed TOML table into a frozen dataclass; every error names the file and the key, and what was meant."""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path

from shadowbus.errors import SettingsError

Kind = typing.TypeVar("Kind")

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def filled_in(value: object, where: str, environment: Mapping[str, str]) -> typing.Any:
    """A value with `${NAME}` and `${NAME:-default}` filled from the environment, however deep they lie.

    Raises:
        SettingsError: A variable without a default is not set.
    """
    if isinstance(value, Mapping):
        return {key: filled_in(inner, f"{where}: {key}", environment) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled_in(inner, where, environment) for inner in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match[1], match[2]
        found = environment.get(name, default)
        if found is None:
            raise SettingsError(f"{where} needs the environment variable {name}, which is not set.")
        return found

    return _VARIABLE.sub(fill, value)


def read_table(kind: type[Kind], table: object, source: Path, prefix: str) -> Kind:
    """A table as a dataclass, and tables in it as theirs.

    Args:
        kind: The dataclass.
        table: The parsed table.
        source: The file, for errors.
        prefix: How its keys begin, for errors.

    Raises:
        SettingsError: A key is unknown or missing, or a value has another type.
    """
    if not isinstance(table, Mapping):
        raise SettingsError(f"{source}: '{prefix.rstrip('.')}' has to be a table, not {table!r}.")
    hints = typing.get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.name != "source"}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
            hint = f"did you mean '{prefix}{near[0]}'?" if near else f"known are {', '.join(sorted(fields))}."
            raise SettingsError(f"{source}: unknown key '{prefix}{key}'; {hint}")
    values = {key: _value(hints[key], value, source, f"{prefix}{key}") for key, value in table.items()}
    for name, f in fields.items():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise SettingsError(f"{source}: the key '{prefix}{name}' is missing.")
    return kind(**values)


def _value(hint: typing.Any, value: object, source: Path, key: str) -> object:
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return read_table(typing.cast("type[object]", hint), value, source, f"{key}.")
    if origin is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list):
            written = f"as [[{key}]], one for each" if dataclasses.is_dataclass(inner) else "as a list"
            raise SettingsError(f"{source}: '{key}' is written {written}.")
        return tuple(_value(inner, item, source, f"{key}[{i}]") for i, item in enumerate(value))
    if origin in (typing.Union, types.UnionType):
        arms = tuple(arm for arm in typing.get_args(hint) if arm is not types.NoneType)
        if len(arms) > 1:
            return _any_of(arms, value, source, key)
        hint = arms[0]
    wanted = Mapping if typing.get_origin(hint) is not None else hint
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        name = "a table" if wanted is Mapping else f"of type {wanted.__name__}"
        raise SettingsError(f"{source}: '{key}' has to be {name}, not {value!r}.")
    return value


def _any_of(arms: tuple[type, ...], value: object, source: Path, key: str) -> object:
    if type(value) not in arms:
        names = ", ".join(arm.__name__ for arm in arms)
        raise SettingsError(f"{source}: '{key}' has to be one of {names}, not {value!r}.")
    return value
