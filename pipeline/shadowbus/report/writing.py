"""A report as text: HTML with everything in it, or Markdown. Templates escape what they are given."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from shadowbus.report.document import Document
from shadowbus.report.foreign import code, markdown, shown
from shadowbus.report.moment import moment

TEMPLATES = Path(__file__).parent / "templates"
MARKS = {"holds": "✓ shown", "fails": "✗ broken", "open": "… open"}
MOST_SEGMENTS = 20


def html(report: Document) -> str:
    """One file that needs no other and no network; it holds no script."""
    return _filled("report.html", report, _as_html, {"moment": moment, "picture": Markup, "commands": _commands})


def pull_request(report: Document) -> str:
    """The same in Markdown, short enough for a pull request; pictures are left out."""
    filters = {"moment": lambda ms: _kept(moment(ms)), "code": lambda text: _kept(code(text))}
    return _filled("report.md", report, _as_markdown, filters)


def _filled(
    name: str,
    report: Document,
    written: Callable[[object], object],
    filters: Mapping[str, Callable[[Any], object]],
) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,  # what `written` returns as markup is left as it is, all else is escaped
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=written,
    )
    environment.filters |= filters
    return environment.get_template(name).render(report=report, marks=MARKS, most_segments=MOST_SEGMENTS)


def _as_html(value: object) -> object:
    return shown(value, 2_000) if isinstance(value, str) and not isinstance(value, Markup) else value


def _as_markdown(value: object) -> object:
    return _kept(markdown(value)) if isinstance(value, str) and not isinstance(value, Markup) else value


def _commands(sentence: str) -> Markup:
    """What stands between backquotes as a command."""
    parts = shown(sentence, 2_000).split("`")
    commands = Markup("<code>{}</code>")
    return Markup("").join(commands.format(part) if place % 2 else part for place, part in enumerate(parts))


def _kept(text: str) -> Markup:
    return Markup(text)  # noqa: S704  # made by `foreign.py` of what was foreign
