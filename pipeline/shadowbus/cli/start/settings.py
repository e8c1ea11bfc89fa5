"""`shadowbus settings`: what is in force, defaults included and secrets masked."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated

import typer

from shadowbus.cli.console import clean, emit, emit_json
from shadowbus.cli.options import settings_of
from shadowbus.settings import masked


def settings(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Show the settings in force, with every default, and secrets masked."""
    document = masked(settings_of(context))
    if as_json:
        emit_json(document)
        return
    emit(f"# {clean(str(document.pop('source')))}")
    for line in toml_lines(document):
        emit(line)


def toml_lines(document: Mapping[str, object], path: str = "") -> Iterator[str]:
    """Plain data as lines of TOML; what is None stands as a comment, because TOML has no word for it."""
    inner: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(one, Mapping) for one in value)):
            inner[key] = value
        elif value is None:
            yield f"# {_key(key)} is off"
        else:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        full = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, Mapping):
            if value:
                yield from ("", f"[{full}]", *toml_lines(value, full))
            continue
        for one in value if isinstance(value, list) else ():
            yield from ("", f"[[{full}]]", *toml_lines(one, full))


def _key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else _value(key)


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, bool | str):
        return clean(json.dumps(value, ensure_ascii=False))
    return str(value)
