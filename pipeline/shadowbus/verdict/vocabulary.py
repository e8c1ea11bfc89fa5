"""Do the models and the labels speak of the same classes? 0 and 1 here, no and yes there: then nobody is ever right.

What comes in are the classes that were named: by the live model, by the shadow, by the labels. What goes out is which
of them have no class in common, in a sentence. What is decided by comparing these is not decided then: it would hold or
fail because of a spelling.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shadowbus.verdict.counts import Vocabularies
from shadowbus.verdict.criterion import Criterion, Question, unanswerable

ENOUGH = 30
"""Before so many were seen, two sides may name different classes by chance."""

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Strangers:
    """Two sides without a class in common: the criteria that compare them, and what to say."""

    unit: str
    note: str


def strangers(found: Vocabularies) -> Iterator[Strangers]:
    """Which sides have nothing in common, where enough was seen of both."""
    pairs = (
        ("requests", found.compared, "The live model answers", found.live, "the shadow", found.shadow),
        ("labels", found.labelled, "Labels are", found.labels, "the live model answers", found.live),
        ("labels", found.labelled, "Labels are", found.labels, "the shadow answers", found.shadow),
    )
    for unit, seen, one_words, one, other_words, other in pairs:
        if seen >= ENOUGH and one and other and set(one).isdisjoint(other):
            note = (
                f"{one_words} {named(one)} and {other_words} {named(other)}: no class in common. "
                "Say which are the same in [shadow.options] same_class."
            )
            yield Strangers(unit, note)


def unanswered(questions: Sequence[Question], found: Sequence[Strangers]) -> list[Question]:
    """All questions; those that compare sides with nothing in common cannot be answered."""
    return [_unanswered(question, found) for question in questions]


def criterion(found: Sequence[Strangers], seen: Vocabularies) -> Criterion:
    """What holds PROMOTE back meanwhile."""
    n = seen.labelled if found[0].unit == "labels" else seen.compared
    return Criterion("vocabulary", len(found), len(found), len(found), 0, "open", found[0].note, n)


def _unanswered(question: Question, found: Sequence[Strangers]) -> Question:
    for one in found:
        if question.criterion.name == "agreement" if one.unit == "requests" else question.unit == "labels":
            return unanswerable(question, one.note)
    return question


def named(classes: Iterable[str]) -> str:
    """The first few different classes, for a sentence."""
    different = sorted(set(classes))
    return ", ".join(map(repr, different[:SHOWN])) + (", …" if len(different) > SHOWN else "")
