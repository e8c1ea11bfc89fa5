"""`shadowbus report`: the story of the trials as one file, frozen."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shadowbus.cli.console import tell
from shadowbus.cli.options import NamedShadow, Shadow, settings_of, which_shadow
from shadowbus.cli.read.recorded import OneTrial, busy
from shadowbus.clock import now_ms
from shadowbus.errors import SettingsError, ShadowbusError

if TYPE_CHECKING:
    from shadowbus.report.document import Draw
    from shadowbus.report.sources import Known

HTML, MARKDOWN = (".html", ".htm"), (".md", ".markdown")


def report(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write: .html or .md.", show_default=False)],
    named: NamedShadow = "",
    shadow: Shadow = "",
    trial: OneTrial = None,
    backtest: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Read a backtest's folder, not the topics.", show_default=False)
    ] = None,
) -> None:
    """Write what the page shows into one file: HTML to read or print, Markdown for a pull request."""
    shadow = which_shadow(named, shadow, required=False)
    kind = out.suffix.lower()
    if kind not in (*HTML, *MARKDOWN):
        raise SettingsError(f"{out} has to end in .html or .md, which says what to write.")
    from shadowbus.report.sources import from_backtest, from_topics

    with busy("Reading …"):
        if backtest is None:
            settings = settings_of(context)
            if shadow:
                settings.shadow_named(shadow)
            known = from_topics(settings)
        else:
            known = from_backtest(backtest)
    write(known, out, shadow=shadow, trial=trial or "")


def write(known: "Known", out: Path, *, shadow: str = "", trial: str = "") -> None:
    """Write what is known of trials, as HTML or Markdown by the file's name.

    Raises:
        ShadowbusError: There is nothing to report on, or the file cannot be written.
    """
    from shadowbus.report.document import document
    from shadowbus.report.writing import html, pull_request

    kind = out.suffix.lower()
    with busy("Drawing …"):
        made = document(
            known.told,
            source=known.source,
            made_ms=now_ms(),
            draw=_drawing() if kind in HTML else None,
            shadow=shadow,
            trial=trial,
            configured=known.configured,
        )
    if not made.parts:
        raise ShadowbusError(f"There is no trial to report on in {known.source}.")
    try:
        out.write_text(html(made) if kind in HTML else pull_request(made), encoding="utf-8")
    except OSError as error:
        raise ShadowbusError(f"{out} cannot be written: {error.strerror}.") from error
    tell(f"{out}: {made.headline}")


def _drawing() -> "Draw":
    from shadowbus.report.drawing import drawn

    return drawn
