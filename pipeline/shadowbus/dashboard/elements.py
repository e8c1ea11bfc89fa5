"""Small pieces of the page: text in any tag, charts, tables, and parts that are drawn anew when they change.

All text goes to the browser as text, never as HTML.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from shadowbus.dashboard.look import Options

Shown = TypeVar("Shown")
TONES = {"PROMOTE": "good", "SEND_BACK": "bad", "KEEP_WATCHING": "warn"}
STATE_TONES = {"holds": "good", "fails": "bad", "open": "warn"}
STATE_WORDS = {"holds": "✔ holds", "fails": "✖ fails", "open": "… still open"}


class Text(TextElement):
    """Text in an element of its own."""

    def __init__(self, tag: str, text: str, classes: str = "") -> None:
        super().__init__(tag=tag, text=text)
        self.classes(classes)


def prose(tag: str, text: str, classes: str = "") -> None:
    """A sentence; what stands between backquotes in it is a command."""
    if "`" not in text:
        Text(tag, text, classes)
        return
    with box(tag, classes):
        for place, part in enumerate(text.split("`")):
            Text("code" if place % 2 else "span", part)


def box(tag: str = "div", classes: str = "", **attributes: str) -> ui.element:
    """An element to put others into; underscores in names of attributes stand for dashes."""
    element = ui.element(tag).classes(classes)
    for name, value in attributes.items():
        element.props[name.replace("_", "-")] = value
    return element


class Chart:
    """A chart that is told new options."""

    def __init__(self, height: int, on_click: Callable[[Any], None] | None = None) -> None:
        self._chart = ui.echart({}, on_point_click=on_click, renderer="svg").classes("chart")
        self._chart.style(f"height: {height}px").props["role"] = "img"
        self._options: Options = {}

    def show(self, options: Options, says: str) -> None:
        """Show these options; `says` is what a person hears who does not see it."""
        if options != self._options or self._chart.props.get("aria-label") != says:
            self._options = options
            self._chart.props["aria-label"] = says
            self._chart.options.clear()
            self._chart.options.update(options)
            self._chart.update()


class Part(Generic[Shown]):
    """A part of the page that is drawn anew when what it shows has changed."""

    def __init__(self, draw: Callable[[Shown], None], tag: str = "div", classes: str = "", **attributes: str) -> None:
        self._draw = draw
        self._place = box(tag, classes, **attributes)
        self._shown: Shown | None = None

    def show(self, what: Shown) -> None:
        """Show this."""
        if what != self._shown:
            self._shown = what
            self._place.clear()
            with self._place:
                self._draw(what)


def rows(caption: str, heads: Sequence[str], body: Sequence[Sequence[str]], harmed: Sequence[bool] = ()) -> None:
    """A table; the first cell of each row names it. On a phone, each row is a card whose cells say what they are."""
    with box("div", "scroll", tabindex="0", role="region", aria_label=caption), box("table", "rows"):
        with box("thead"), box("tr"):
            for head in heads:
                Text("th", head).props["scope"] = "col"
        with box("tbody"):
            for number, cells in enumerate(body):
                with box("tr", "harmed" if number < len(harmed) and harmed[number] else ""):
                    Text("th", cells[0]).props["scope"] = "row"
                    for head, cell in zip(heads[1:], cells[1:], strict=True):
                        Text("td", cell, "number" if len(cell) < 24 else "").props["data-head"] = head
