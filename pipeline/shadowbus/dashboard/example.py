"""Single requests to look at: where the two models differ, and who was right. Pure, and small whatever came in."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import orjson

from shadowbus.compare.class_name import class_name
from shadowbus.errors import Malformed
from shadowbus.records import Answer, Comparison, Outcome, decode

DIFFERING, AGREEING, LABELS = 1_000, 200, 5_000
"""How many examples of each trial are kept, the newest, and how many labels."""
MOST_CHARACTERS = 200
MOST_FEATURES = 2_000
RIGHT = {(True, True): "both", (False, True): "shadow", (True, False): "live", (False, False): "neither"}


@dataclass(frozen=True, slots=True)
class Example:
    """One comparison, its texts cut to what fits on a page. `right` is empty before there is a label."""

    request_id: str
    at_ms: int
    status: str
    live: str
    shadow: str
    live_class: str
    shadow_class: str
    agree: bool | None
    segments: tuple[str, ...]
    features: str
    label: str = ""
    right: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """Which examples are asked for; what is empty does not matter."""

    segment: str = ""
    right: str = ""
    live_class: str = ""
    shadow_class: str = ""
    status: str = ""

    def wants(self, one: Example) -> bool:
        """Whether this is one of them. Without a pair of classes only those where the models differ, or one failed."""
        pair = self.live_class, self.shadow_class
        return (
            (all(pair) or one.agree is not True)
            and (not self.segment or self.segment in one.segments)
            and (not self.right or self.right == one.right)
            and pair[0] in ("", one.live_class)
            and pair[1] in ("", one.shadow_class)
            and self.status in ("", one.status)
        )


@dataclass(slots=True)
class Examples:
    """The newest examples of one trial."""

    differing: deque[Example] = field(default_factory=lambda: deque(maxlen=DIFFERING))
    agreeing: deque[Example] = field(default_factory=lambda: deque(maxlen=AGREEING))
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)

    def take(self, example: Example) -> None:
        """Add one."""
        (self.agreeing if example.agree is True else self.differing).append(example)

    def judge(self, request_id: str, label: str, right: str) -> None:
        """Remember what a request's label said, whether or not its example has come."""
        self.labels.pop(request_id, None)
        self.labels[request_id] = label, right
        while len(self.labels) > LABELS:
            self.labels.pop(next(iter(self.labels)))

    def found(self, question: Question, most: int) -> list[Example]:
        """The newest that are asked for."""
        return list(islice(filter(question.wants, self._newest()), most))

    def _newest(self) -> Iterator[Example]:
        newest = sorted((*self.differing, *self.agreeing), key=lambda one: one.at_ms, reverse=True)
        for one in newest:
            label, right = self.labels.get(one.request_id, ("", ""))
            yield replace(one, label=label, right=right)


def example_of(value: bytes) -> tuple[str, Example]:
    """A comparison's trial, and its example.

    Raises:
        Malformed: It is no comparison.
    """
    record = decode(Comparison, value)
    return record.trial, Example(
        request_id=short(record.request_id),
        at_ms=record.timestamp_ms,
        status=short(record.status),
        live=_answer(record.live),
        shadow=_answer(record.shadow),
        live_class=_class(record.live),
        shadow_class=_class(record.shadow),
        agree=record.agree,
        segments=tuple(short(f"{name}={_plain(part)}") for name, part in islice(record.segments.items(), 50)),
        features=short(_text(record.features), MOST_FEATURES) if record.features is not None else "",
    )


def label_of(value: bytes) -> tuple[str, str, str, str]:
    """An outcome's trial, request id, label and who was right; that it takes one back makes no difference here.

    Raises:
        Malformed: It is no outcome.
    """
    record = decode(Outcome, value)
    if record.retracts:
        raise Malformed("it takes another one back")
    right = ""
    if record.live_correct is not None and record.shadow_correct is not None:
        right = RIGHT[record.live_correct, record.shadow_correct]
    return record.trial, short(record.request_id), short(_plain(record.label)), right


def short(text: str, most: int = MOST_CHARACTERS) -> str:
    """A text that fits.

    >>> short("abcdef", 4)
    'abc…'
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _answer(answer: Answer | None) -> str:
    if answer is None:
        return "nothing"
    return short(f"error: {answer.error}") if answer.error is not None else short(_plain(answer.prediction))


def _class(answer: Answer | None) -> str:
    return "" if answer is None or answer.error is not None else short(class_name(answer.prediction) or "")


def _plain(value: object) -> str:
    return value if isinstance(value, str) else _text(value)


def _text(value: Any) -> str:
    return orjson.dumps(value).decode("utf-8", "replace")
