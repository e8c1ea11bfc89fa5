"""What is in the way of any verdict: the shadow cannot run, or nothing that comes can be compared or judged.

What comes in is the evidence; what goes out are sentences, with the commonest reasons and how often each came. None of
it is final, and none of it is the shadow's rate of failures: when it is mended, the trial goes on by itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from shadowbus.verdict.counts import Evidence, Rows
from shadowbus.verdict.criterion import Obstacle, Question, Reason

ENOUGH = 30
"""So many have to have come, none of which is of any use, before it is said."""

ENOUGH_ALONE = 1_000
"""The same of rows that are predicted one at a time: that is a sample."""

RAN = 19
"""A shadow cannot run while it has failed so often, before it began to run, for each answer that it gave elsewhere."""

_STATUSES = {
    "live_missing": "have no live prediction",
    "request_missing": "have a live prediction and no request",
    "live_error": "failed in the live model",
    "shadow_error": "failed in the shadow",
    "shadow_timeout": "were too slow in the shadow",
    "shadow_crash": "crashed the shadow",
    "shadow_unavailable": "came while the shadow was not asked",
}


def obstacles(evidence: Evidence, questions: Sequence[Question]) -> tuple[Obstacle, ...]:
    """What is in the way, the worst first; of the questions, those that PROMOTE needs answered."""
    of_everything = [*_of_running(evidence), *_of_comparing(evidence)]
    if any(one.of_everything for one in of_everything):
        return tuple(of_everything)
    return (*of_everything, *_of_judging(evidence), *_of_criteria(questions))


def told(records: Iterable[object]) -> list[str]:
    """The sentences in the field `obstacles` of a verdict.

    >>> told([{"name": "cannot_run", "told": "It cannot run."}, 7])
    ['It cannot run.']
    """
    return [text for one in records if isinstance(one, Mapping) and isinstance(text := one.get("told"), str) and text]


def names(records: Iterable[object]) -> list[object]:
    """The names in the field `obstacles` of a verdict."""
    return [name for one in records if isinstance(one, Mapping) and isinstance(name := one.get("name"), str)]


def _of_running(evidence: Evidence) -> Iterator[Obstacle]:
    rows, failed = evidence.rows, evidence.rows.reasons.get("failed", ())
    if not rows.stalled:
        return
    if cannot_run(rows):
        count, of = rows.stalled_failed + rows.unsettled_failed, evidence.counts.comparisons - rows.left_out
        told = f"It cannot run: {count:,} of {of:,} requests failed{_named(failed)}. {_GOES_ON}"
        yield Obstacle("cannot_run", count, of, failed, told)
        return
    told = (
        f"In some partitions it has not begun to run: {rows.stalled_failed:,} of {rows.stalled:,} requests failed "
        f"there{_named(failed)}. {_GOES_ON}"
    )
    yield Obstacle("runs_in_part", rows.stalled_failed, rows.stalled, failed, told)


def cannot_run(rows: Rows) -> bool:
    """Whether it has not begun to run, as far as can be told: of all that it was asked it failed on 95 % or more."""
    return rows.stalled > 0 and RAN * rows.ran <= rows.stalled_failed


_GOES_ON = "When that is mended the trial goes on by itself, and these requests do not count for failures."


def _of_comparing(evidence: Evidence) -> Iterator[Obstacle]:
    rows, others = evidence.rows, evidence.rows.others
    total = sum(others.values())
    if not cannot_run(rows) and not rows.answered + evidence.counts.requests_before and total >= ENOUGH:
        parts = [f"{count:,} {_STATUSES[name]}" for name, count in sorted(others.items(), key=_most)]
        reasons = rows.reasons.get("live" if others.get("live_error", 0) * 2 > total else "failed", ())
        told = f"Nothing can be compared: of {total:,} records {_listed(parts)}{_named(reasons)}."
        yield Obstacle("nothing_compared", total, total, reasons, told)
    if rows.answered >= ENOUGH and not rows.comparable:
        reasons = rows.reasons.get("unlike", ())
        told = (
            f"Nothing can be compared: none of {rows.answered:,} pairs of answers is of a kind that the shadow's task "
            f"takes{_named(reasons)}. See task in [[shadow]]."
        )
        yield Obstacle("not_comparable", rows.answered, rows.answered, reasons, told)


def _of_judging(evidence: Evidence) -> Iterator[Obstacle]:
    counts = evidence.counts
    if counts.labels >= ENOUGH and not (counts.paired or counts.loss_n):
        reasons = evidence.rows.reasons.get("unjudged", ())
        told = f"Nobody can be judged: none of {counts.labels:,} labels says who was right{_named(reasons)}."
        yield Obstacle("not_judged", counts.labels, counts.labels, reasons, told)


def _of_criteria(questions: Sequence[Question]) -> Iterator[Obstacle]:
    for question in filter(unseen, questions):
        name, unit = question.criterion.name, question.unit
        told = f"{name} can never be shown: {question.lacks}, though {question.seen:,} {unit} came."
        yield Obstacle(f"unseen:{name}", question.seen, question.seen, (), told)


def unseen(question: Question) -> bool:
    """Whether nothing has been seen of what a question is about, though enough came."""
    enough = ENOUGH_ALONE if question.criterion.name == "over_budget" else ENOUGH
    return not question.trials and question.seen >= enough


def _named(reasons: Sequence[Reason]) -> str:
    """The commonest reasons, as the end of a sentence.

    >>> _named((("boom", 1_990), ("bang", 23)))
    ": 'boom' (1,990), 'bang' (23)"
    """
    if not reasons:
        return ""
    return ": " + ", ".join(f"'{text}' ({count:,})" for text, count in reasons)


def _most(one: tuple[str, int]) -> tuple[int, str]:
    return -one[1], one[0]


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
