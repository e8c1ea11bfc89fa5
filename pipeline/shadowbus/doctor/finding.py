"""One thing that is not as it should be, in three sentences."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["problem", "warning"]

SEVERITIES: tuple[Severity, ...] = ("problem", "warning")
"""The worse first. A problem loses comparisons, makes verdicts wrong or stops a worker; a warning may come to that."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, how it was seen, and what to do about it, in the imperative.

    `check` is the name of the check that found it.
    """

    severity: Severity
    what: str
    evidence: str
    fix: str
    check: str = ""


def problem(what: str, evidence: str, fix: str) -> Finding:
    """Something that loses comparisons, makes verdicts wrong or stops a worker."""
    return Finding("problem", what, evidence, fix)


def warning(what: str, evidence: str, fix: str) -> Finding:
    """Something that may come to that."""
    return Finding("warning", what, evidence, fix)


def listed(names: list[str], most: int = 4) -> str:
    """Names as part of a sentence.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2)
    ('a, b, c', 'a, b and 1 more')
    """
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
