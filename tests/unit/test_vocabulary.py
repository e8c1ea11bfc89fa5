"""Labels and answers in different vocabularies decide nothing, until somebody says which classes are the same."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from shadowbus.compare import make_comparator
from shadowbus.compare.class_name import class_name
from shadowbus.errors import SettingsError
from shadowbus.settings import GateSettings
from shadowbus.verdict.counts import Counts, Evidence, Vocabularies
from shadowbus.verdict.gate import decide

GATE = GateSettings(min_requests=0, min_agreement=0.8, accuracy_margin=0.05)
SEEN = Counts(comparisons=1_500, asked=1_500, compared=1_500, agreed=1_350, labels=1_500, both_wrong=1_500)
ONES, WORDS = ("0", "1"), ("no", "yes")


def verdict(vocabularies: Vocabularies, counts: Counts = SEEN) -> Any:
    return decide(replace(Evidence("live@1~new@2", counts, {}, exact=True), vocabularies=vocabularies), GATE)


def test_labels_in_another_vocabulary_promote_nobody_and_are_named() -> None:
    assert verdict(Vocabularies(ONES, ONES, ONES, 1_500, 1_500)).verdict == "PROMOTE"
    found = verdict(Vocabularies(ONES, ONES, WORDS, 1_500, 1_500))
    assert found.verdict == "KEEP_WATCHING"
    states = {one.name: (one.state, one.note) for one in found.criteria}
    assert states["accuracy"][0] == states["vocabulary"][0] == "open"
    assert "Labels are 'no', 'yes' and the live model answers '0', '1': no class in common." in states["vocabulary"][1]
    assert "same_class" in states["vocabulary"][1]
    assert states["agreement"][0] == "holds"
    assert "speak of the same classes first" in found.needed.note


def test_models_in_different_vocabularies_are_not_sent_back_for_a_spelling() -> None:
    differ = replace(SEEN, agreed=0)
    assert verdict(Vocabularies(ONES, ONES, ONES, 1_500, 0), differ).verdict == "SEND_BACK"
    found = verdict(Vocabularies(ONES, WORDS, (), 1_500, 0), differ)
    assert found.verdict == "KEEP_WATCHING"
    assert (
        "The live model answers '0', '1' and the shadow 'no', 'yes'" in found.criteria[1].note + found.criteria[0].note
    )


@pytest.mark.parametrize(
    "found",
    [
        Vocabularies(),
        Vocabularies(ONES, ONES, WORDS, 1_500, 29),
        Vocabularies(ONES, ONES, (*WORDS, "1"), 1_500, 1_500),
        Vocabularies(ONES, ONES, (), 1_500, 1_500),
        Vocabularies(("1",), ("0",), (), 29, 0),
    ],
)
def test_too_few_and_a_class_in_common_are_no_sign(found: Vocabularies) -> None:
    assert "vocabulary" not in {one.name for one in verdict(found).criteria}


COMPARERS: dict[str, Callable[[], Any]] = {
    "classes": lambda: make_comparator("classification", {"same_class": {"yes": 1, "no": 0}}),
    "threshold": lambda: make_comparator("classification", {"threshold": 0.5, "same_class": {"yes": 1, "no": 0}}),
}


@pytest.mark.parametrize("name", COMPARERS)
def test_classes_that_are_said_to_be_the_same_are(name: str) -> None:
    comparator = COMPARERS[name]()
    assert comparator.judge("yes", 1, None).correct is True
    assert comparator.judge("yes", "0", None).correct is False
    assert comparator.judge(1, "yes", None).correct is True
    assert comparator.compare(["yes", 1, "no"], [None] * 3, [1, 1.0, True], [None] * 3)[0] == [True, True, False]
    assert comparator.compare([1, 0], [None] * 2, [1, 1], [None] * 2)[0] == [True, False]


@pytest.mark.parametrize("wrong", ["yes", ["yes"], 1, {"yes": None}, {"yes": {}}])
def test_what_is_no_table_of_classes_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingsError, match="same_class"):
        make_comparator("classification", {"same_class": wrong})


SAME = (
    (1, 1.0, "1", "1.0", True, "true", "True", "TRUE"),
    (0, 0.0, -0.0, "0", False, "false", "False", "FALSE"),
    (3, 3.0, "3", " 3 "),
    ("03",),
    ("+3",),
    ("1e3",),
    ("DE", " DE "),
    ("de",),
    ([1, 0], ["1", 0.0]),
    (9007199254740993,),
    (9007199254740992, 9007199254740992.0),
)


def test_the_table_of_equal_values_in_the_docs_is_so() -> None:
    for group in SAME:
        assert len({class_name(value) for value in group}) == 1, group
    assert len({class_name(group[0]) for group in SAME}) == len(SAME)
    nothing: list[Any] = [None, {}, float("nan"), float("inf"), [None], [[1]]]
    for value in nothing:
        assert class_name(value) is None
