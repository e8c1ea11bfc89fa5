"""Logs for people and for collectors: stderr, one line each, with time, level and stage."""

import logging
import sys
from datetime import UTC, datetime

from shadowbus.cli.console import clean
from shadowbus.throttle import Throttle


class OneLine(logging.Formatter):
    """`2026-05-01T12:00:00.000Z INFO replay: what happened`; a traceback comes after it, where it is asked for."""

    def __init__(self, stage: str, tracebacks: bool) -> None:
        super().__init__()
        self._stage = stage
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = clean(record.getMessage())
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not self._tracebacks:
            message += f" ({type(error).__name__}: {clean(str(error))})"
        line = f"{moment.replace('+00:00', 'Z')} {record.levelname} {self._stage}: {message}"
        if error is not None and self._tracebacks and record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return line


def set_up(stage: str, debug: bool, quiet: bool = False) -> None:
    """Log to stderr on behalf of a stage; in place of any earlier set-up.

    Unless all is shown, librdkafka's own lines are shown when they are errors, and nobody's lines flood the log.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(stage, debug))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("shadowbus").setLevel(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    logging.getLogger("shadowbus.librdkafka").setLevel(logging.DEBUG if debug else logging.ERROR)
    if not debug:
        handler.addFilter(Throttle())
