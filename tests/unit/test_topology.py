"""The pipeline as data: complete, consistent, and drawn whole."""

import re
from itertools import pairwise

import pytest

import shadowbus
from shadowbus.topology import MAX_RECORD_BYTES, STAGES, TOPICS, mermaid, topic_names

OUTSIDE_READERS = {"aggregates", "verdicts", "dead-letters"}
"""Topics that people and other programs read."""

OWN_STATE = {"replay-changelog", "judge-changelog"}
"""Topics that one stage writes for itself, to read back at a start."""


def test_every_name_is_used_once_and_fits_kafka() -> None:
    for names in ([topic.name for topic in TOPICS], [stage.name for stage in STAGES]):
        assert len(set(names)) == len(names)
        assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_every_topic_is_written_and_read_by_somebody() -> None:
    topics = {topic.name for topic in TOPICS}
    written = {name for stage in STAGES for name in stage.writes}
    read = {name for stage in STAGES for name in stage.reads}
    assert written | read <= topics
    assert topics - written == OWN_STATE
    assert topics - read == OWN_STATE | OUTSIDE_READERS


def test_data_flow_in_the_order_of_the_stages() -> None:
    """Whatever a stage reads was written by one before it."""
    written: set[str] = set()
    for stage in STAGES:
        assert set(stage.reads) <= written, stage.name
        written |= set(stage.writes)


def test_a_stage_that_reads_input_can_set_records_aside() -> None:
    for stage in STAGES:
        if "exactly once" in stage.guarantee:
            assert "dead-letters" in stage.writes, stage.name


def test_topics_are_named_after_namespace_and_shadow() -> None:
    names = topic_names("churn", ("new", "newer"))
    assert {
        "churn.requests",
        "churn.dead-letters",
        "churn.new.replay-changelog",
        "churn.newer.replay-changelog",
    } <= set(names)
    per_shadow = sum(topic.per_shadow for topic in TOPICS)
    assert len(names) == len(TOPICS) + per_shadow
    assert all(name.startswith("churn.") and len(name) <= 249 for name in names)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_state_is_compacted_and_events_expire(topic: object) -> None:
    from shadowbus.topology import Topic

    assert isinstance(topic, Topic)
    config = topic.config()
    state = topic.name in {"partials", "aggregates", "verdicts"} | OWN_STATE
    assert config["cleanup.policy"] == ("compact" if state else "delete")
    assert ("retention.ms" in config) is not state
    assert int(config["max.message.bytes"]) >= MAX_RECORD_BYTES + 16 * (topic.name == "replay-changelog")


def test_labels_outlive_requests() -> None:
    kept = {topic.name: topic.retention_ms for topic in TOPICS}
    assert kept["labels"] == kept["comparisons"] > kept["requests"] == kept["predictions"]


def test_the_picture_shows_every_stage_and_every_arrow() -> None:
    head, *lines = mermaid().splitlines()
    assert head.startswith("flowchart ")
    shapes = re.compile(r"""\["(.*?)"\]|\[\((.*?)\)\]|\(\[(.*?)\]\)""")
    arrows = set()
    for line in lines:
        groups = [part.split(" & ") for part in re.split(r" -\.?-> ", shapes.sub("", line).strip())]
        arrows |= {(start, end) for here, there in pairwise(groups) for start in here for end in there}
    wanted = {(topic, stage.name) for stage in STAGES for topic in stage.reads}
    wanted |= {(stage.name, topic) for stage in STAGES for topic in stage.writes}
    wanted |= {(f"{stage.name}-source", stage.name) for stage in STAGES if not stage.reads}
    assert arrows == wanted | {("aggregates", "people"), ("verdicts", "people")}
    for stage in STAGES:
        assert f'{stage.name}["<b>{stage.name}</b><br/>{stage.does}"]' in mermaid()
    boxes = {topic for line in lines for topic in re.findall(r"\[\((.*?)\)\]", line)}
    assert boxes == {topic.name for topic in TOPICS} - OWN_STATE


def test_the_packages_first_page_has_the_flow_of_the_topology() -> None:
    lines = [line.split(maxsplit=1) for line in (shadowbus.__doc__ or "").splitlines() if line.startswith("    ")]
    assert lines == [[stage.name, stage.does] for stage in STAGES]
