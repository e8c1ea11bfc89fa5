"""What is missing until the verdict that comes first, and when that is, if everything goes on as it has so far."""

import math
from collections.abc import Sequence
from dataclasses import replace

from shadowbus.settings import GateSettings
from shadowbus.verdict.conditions import DAY_MS, days
from shadowbus.verdict.counts import Counts, Evidence
from shadowbus.verdict.criterion import Criterion, Needed, Obstacle, Question
from shadowbus.verdict.obstacles import unseen

IN_THE_WAY = {
    "vocabulary": "Models and labels have to speak of the same classes first.",
    "learned": "It has to be known first until when it was trained.",
    "books": "The books have to close first.",
    "cpu_ms_per_row": "It has to take less CPU time first.",
    "memory_mb": "It has to take less memory first.",
}
"""Conditions that time alone does not meet, and what is said of them."""

CONTROL = "It is the control: its disagreement is noise."
"""What is said in place of how much is missing: nothing is, and no verdict comes."""

DEPENDS = "Labels depend on the answers, and the missing ones could be anything."


def needed(
    evidence: Evidence,
    gate: GateSettings,
    conditions: Sequence[Criterion],
    blocking: Sequence[Question],
    guards: Sequence[Question],
    obstacles: Sequence[Obstacle] = (),
) -> Needed:
    """How many more requests and labels it takes, when, and until which verdict.

    Args:
        evidence: What has been seen.
        gate: What the verdict needs.
        conditions: What PROMOTE needs beside questions.
        blocking: The questions that PROMOTE needs answered.
        guards: Those that need no yes; PROMOTE is held by those that wait.
        obstacles: What is in the way of any verdict: none is foretold then, and they are named.
    """
    if evidence.control:
        return Needed(None, None, CONTROL)
    if not blocking:
        return Needed(None, None, "No criterion is on, so nothing can be shown.")
    counts = evidence.counts
    promote = _until_promote(evidence, gate, [*blocking, *(guard for guard in guards if guard.waits)])
    back = _until_send_back([*blocking, *guards], counts)
    if any(one.of_everything for one in obstacles):
        promote = Needed(None, None, "")
    told = [one.told for one in obstacles]
    if back and _requests(back, counts) < _requests(promote, counts):
        return replace(back, note=" ".join((back.note, *told)), at_ms=_when(back, evidence, 0.0))
    stuck = [IN_THE_WAY[one.name] for one in conditions if one.state == "open" and one.name in IN_THE_WAY]
    if stuck or told:
        return replace(promote, note=" ".join(filter(None, (*told, *stuck, promote.note))))
    return replace(promote, at_ms=_when(promote, evidence, gate.min_days))


def _until_promote(evidence: Evidence, gate: GateSettings, blocking: Sequence[Question]) -> Needed:
    counts = evidence.counts
    missing: dict[str, int | None] = {
        "requests": max(0, gate.min_requests - counts.ran),
        "labels": max(0, gate.min_labels - counts.labels),
    }
    never, early = [], []
    for question in blocking:
        if question.criterion.state == "holds":
            continue
        answerable = question.leans == "holds" and not unseen(question)
        more, known = question.missing() if answerable else None, missing[question.unit]
        missing[question.unit] = None if more is None or known is None else max(more, known)
        never += [question] if more is None else []
        early += [] if question.trials else [question.criterion.name]
    note = "PROMOTE, at the present rates."
    if never:
        note = f"At the present rates never shown to hold: {', '.join(question.criterion.name for question in never)}."
        if evidence.labels_depend and any(question.unit == "labels" for question in never):
            note = f"{note} {DEPENDS}"
    elif early:
        note = f"PROMOTE, at the earliest: nothing has been seen yet of {', '.join(early)}."
    return Needed(missing["requests"], missing["labels"], note)


def _until_send_back(questions: Sequence[Question], counts: Counts) -> Needed | None:
    ways = []
    for question in questions:
        if question.criterion.state == "open" and question.leans == "fails":
            more, note = question.missing(), f"SEND BACK for {question.criterion.name}, at the present rates."
            if more is not None:
                ways.append(Needed(more, 0, note) if question.unit == "requests" else Needed(0, more, note))
    return min(ways, key=lambda needed: _requests(needed, counts), default=None)


def _requests(needed: Needed, counts: Counts) -> float:
    """Requests until then, with as many labels for each request as so far."""
    if needed.requests is None or needed.labels is None:
        return math.inf
    ratio = counts.comparisons / counts.labels if counts.labels else 1.0
    return max(needed.requests, needed.labels * ratio)


def _when(needed: Needed, evidence: Evidence, min_days: float) -> int | None:
    """When the last of the missing requests, labels and days has come, at the mean rates while traffic lasted."""
    first, last, counts = evidence.first_ms, evidence.last_ms, evidence.counts
    if first is None or last is None or needed.requests is None or needed.labels is None:
        return None
    stretched = (last - first) / (days(evidence) * DAY_MS) if evidence.idle_days else 1.0  # weekends may have none
    waits = [max(0.0, min_days - days(evidence)) * DAY_MS * stretched]
    for more, seen in ((needed.requests, counts.comparisons), (needed.labels, counts.labels)):
        if more and (not seen or last <= first):
            return None
        waits.append(more * (last - first) / seen if more else 0.0)
    return last + math.ceil(max(waits))
