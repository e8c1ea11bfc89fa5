"""The AsyncAPI document: it follows the rules of AsyncAPI 3.0 as far as they can be checked here, and the topology."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from shadowbus.records import Comparison, encode
from shadowbus.topology import STAGES, TOPICS

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "asyncapi.json").read_text())
CHANNELS, OPERATIONS = DOCUMENT["channels"], DOCUMENT["operations"]
MESSAGES, TYPES = DOCUMENT["components"]["messages"], DOCUMENT["components"]["schemas"]

ALLOWED = {
    "": {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"},
    "channel": {"address", "messages", "title", "summary", "description", "servers", "parameters", "tags", "bindings"},
    "operation": {"action", "channel", "title", "summary", "description", "security", "tags", "bindings", "messages"},
    "message": {"headers", "payload", "contentType", "name", "title", "summary", "description", "tags", "bindings"},
}
"""Fields that AsyncAPI 3.0 has for each kind of object, those that are used here and their neighbours."""


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            yield from [value] if key == "$ref" else references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def at(reference: str) -> Any:
    found: Any = DOCUMENT
    assert reference.startswith("#/"), reference
    for step in reference[2:].split("/"):
        found = found[step]
    return found


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 50
    assert all(isinstance(at(reference), dict) for reference in found)


def test_the_document_is_of_the_parts_that_asyncapi_knows() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    assert DOCUMENT.keys() <= ALLOWED[""]
    for kind, objects in (("channel", CHANNELS), ("operation", OPERATIONS), ("message", MESSAGES)):
        for name, one in objects.items():
            assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
            assert one.keys() <= ALLOWED[kind], name


def test_channels_are_the_topics_with_all_their_parameters() -> None:
    addresses = {topic.full_name("{namespace}", "{shadow}"): topic for topic in TOPICS}
    assert {channel["address"] for channel in CHANNELS.values()} == set(addresses)
    for channel in CHANNELS.values():
        assert set(re.findall(r"\{(\w+)\}", channel["address"])) == channel["parameters"].keys()
        config = channel["bindings"]["kafka"]["topicConfiguration"]
        kept = addresses[channel["address"]].config()
        assert config["cleanup.policy"] == [kept["cleanup.policy"]]
        assert str(config.get("retention.ms")) == kept.get("retention.ms", "None")


def test_operations_are_what_the_stages_do() -> None:
    wanted = {
        (stage.name, action, topic)
        for stage in STAGES
        for action, topics in (("receive", stage.reads), ("send", stage.writes))
        for topic in topics
    }
    found = set()
    for operation in OPERATIONS.values():
        address = at(operation["channel"]["$ref"])["address"]
        found.add((operation["summary"].split()[0], operation["action"], address.partition(".")[2]))
        # An operation's messages have to be those of its channel.
        assert all(ref["$ref"].startswith(f"{operation['channel']['$ref']}/messages/") for ref in operation["messages"])
    assert found == wanted
    assert len(OPERATIONS) == len(wanted)


def test_every_message_is_somewhere_and_has_a_key() -> None:
    used = {name for channel in CHANNELS.values() for name in channel["messages"]}
    assert used == set(MESSAGES)
    assert all(one["bindings"]["kafka"]["key"]["description"] for one in MESSAGES.values())


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_payload_is_a_schema_that_works(name: str) -> None:
    schema = {"$ref": at(f"#/components/messages/{name}")["payload"]["$ref"], "components": {"schemas": TYPES}}
    validate: Any = fastjsonschema.compile(schema)
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate({})


def test_a_comparison_is_what_its_payload_says() -> None:
    validate: Any = fastjsonschema.compile(
        {"$ref": "#/components/schemas/Comparison", "components": {"schemas": TYPES}}
    )
    record = json.loads(encode(Comparison("r", 1, "a~b@1", "compared", None, None, None, None)))
    validate(record)
    with pytest.raises(fastjsonschema.JsonSchemaValueException):
        validate({**record, "status": "perhaps"})
