"""What is published of a trial that cannot be decided: a record that says why, and on which nobody acts. Pure.

One trial's fault is that trial's. The record takes the place of its verdict, so that whoever reads that finds it; what
stood before is kept in it, and the next verdict follows from there.
"""

import dataclasses

from shadowbus.records import PreviousVerdict, Verdict
from shadowbus.verdict.states import START

LONGEST = 500


def stood(before: Verdict | None) -> PreviousVerdict | None:
    """What stands by the last record that was published: of a fault, what stood before it."""
    if before is None or before.fault:
        return None if before is None else before.previous
    return PreviousVerdict(before.verdict, before.since_ms or before.decided_ms)


def undecided(trial: str, why: str, before: Verdict | None, as_of_ms: int) -> Verdict:
    """The record of a trial that cannot be decided.

    Args:
        trial: Its name.
        why: A sentence.
        before: The record that was published last; None where there was none.
        as_of_ms: The time of the newest of what is known.
    """
    fault = why if len(why) <= LONGEST else f"{why[: LONGEST - 1]}…"
    last = before or Verdict(trial, START, [], 0, 0, {}, 0)
    return dataclasses.replace(
        last,
        verdict=START,
        criteria=[],
        needed={"requests": None, "labels": None, "note": "", "at_ms": None},
        decided_ms=max(as_of_ms, last.decided_ms),
        shown=START,
        since_ms=max(as_of_ms, last.decided_ms),
        previous=stood(before),
        note=f"This trial could not be decided. {fault}",
        # How far was read before: until that is read again, there is less to decide from.
        evidence={"offsets": last.evidence["offsets"]} if "offsets" in last.evidence else {},
        fault=fault,
    )


def in_words(error: Exception) -> str:
    """What is said of a trial whose partials cannot be merged or decided."""
    return (
        f"Its partials cannot be merged or decided ({type(error).__name__}: {error}). "
        "It is tried again with its next partial; the log of `shadowbus decide` has more."
    )
