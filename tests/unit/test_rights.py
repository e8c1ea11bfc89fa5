"""The table of rights: whole, and what the workers really do."""

import doctest

import pytest
import typer

from shadowbus import rights
from shadowbus.cli.program import app
from shadowbus.rights import USES, Names, needed_for, use_of
from shadowbus.topology import STAGES, TOPICS

NAMES = Names("churn", ("new", "newer"), {"labels": "raw.labels"})
NO_KAFKA = {"backtest", "broker", "bundle", "demo", "rights", "settings", "topology"}
"""Verbs that ask nothing of a Kafka with rights: they need none, or start one of their own."""


def test_the_examples_hold() -> None:
    assert doctest.testmod(rights).failed == 0


def test_every_verb_that_asks_kafka_has_its_rights() -> None:
    group = typer.main.get_command(app)
    verbs = set(group.commands)  # type: ignore[attr-defined]
    assert {use.split()[0] for use in USES} - {"capture"} == verbs - NO_KAFKA


def test_every_verb_that_asks_kafka_needs_something_of_the_namespace_alone() -> None:
    for use in USES:
        found = needed_for(use, NAMES)
        assert found
        for right in found:
            assert right.name.startswith("churn.") or right.name == "raw.labels" or right.kind == "CLUSTER"


def test_a_right_to_describe_stands_only_where_it_is_needed_alone() -> None:
    for use in USES:
        found = needed_for(use, NAMES)
        used = {(right.kind, right.name) for right in found if right.operation in ("READ", "WRITE")}
        assert not [one for one in found if one.operation == "DESCRIBE" and (one.kind, one.name) in used]


def test_rekey_writes_only_what_it_is_asked_to_move() -> None:
    written = {right.name for right in needed_for("rekey", NAMES) if right.operation == "WRITE"}
    assert written == {"churn.labels", "churn.dead-letters", "churn.rekey-"}
    assert not [one for one in needed_for("up", Names("churn", ("new",))) if "rekey" in one.name]


def test_every_topic_is_written_by_somebody_who_may() -> None:
    names = Names("churn", ("new",), {topic: f"raw.{topic}" for topic in ("requests", "predictions", "labels")})
    for operation in ("READ", "WRITE"):
        allowed = {one.name for stage in STAGES for one in needed_for(stage.name, names) if one.operation == operation}
        known = {topic.full_name("churn", "new") for topic in TOPICS}
        read_by_people = {"churn.aggregates", "churn.dead-letters"}
        assert known - allowed == (read_by_people if operation == "READ" else set())


@pytest.mark.parametrize("use", USES)
def test_the_words_of_a_command_line_find_their_rights(use: str) -> None:
    assert use_of([*use.split(), "--json"]) == use
    assert use_of([word.replace(" ", "=") for word in use.split()]) == use
