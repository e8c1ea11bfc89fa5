"""The AsyncAPI 3.0 document of all topics: who writes what where, with which key, and how long it is kept. Pure.

In: the topology and the JSON Schema of each record. Out: plain data. `make docs` writes it to docs/asyncapi.json.
"""

import re
from collections.abc import Mapping
from typing import Any

from shadowbus.topology import STAGES, TOPICS, Topic

Schemas = Mapping[str, Mapping[str, Any]]
"""By topic, or `topic/what` for what else lies there: a JSON Schema whose types are in `$defs`."""

KEYS = {
    "requests": "The request id.",
    "predictions": "The request id.",
    "labels": "The request id.",
    "comparisons": "The request id.",
    "outcomes": "The request id.",
    "vitals": "stage|shadow|partition",
    "partials": "trial|segment|window|partition; vitals, as they came, under trial|vitals|stage|partition.",
    "aggregates": "trial|segment|window",
    "verdicts": "trial; what was told and done about it under trial|what|…",
    "dead-letters": "The key of the record that was set aside.",
}
"""What the key of a record is, as UTF-8."""

INTERNAL = "State of a stage, in a form of its own: not for other readers."


def document(schemas: Schemas, version: str) -> dict[str, Any]:
    """The whole document.

    Args:
        schemas: Of every topic that other programs may read or write.
        version: Of shadowbus.
    """
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "shadowbus",
            "version": version,
            "description": "Every topic of shadowbus. Records are JSON; readers ignore fields they do not know. Read "
            "committed records only: most topics are written in transactions.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_id(topic.name): _channel(topic, schemas) for topic in TOPICS},
        "operations": _operations(schemas),
        "components": {"messages": _messages(schemas), "schemas": _types(schemas)},
    }


def _channel(topic: Topic, schemas: Schemas) -> dict[str, Any]:
    parameters = {"namespace": {"description": "The namespace of the settings."}}
    if topic.per_shadow:
        parameters["shadow"] = {"description": "The name of a [[shadow]] of the settings."}
    config: dict[str, Any] = {"cleanup.policy": [topic.cleanup], "max.message.bytes": topic.max_bytes}
    if topic.cleanup == "delete":
        config["retention.ms"] = topic.retention_ms
    names = _names(topic.name, schemas)
    return {
        "address": topic.full_name("{namespace}", "{shadow}"),
        "description": f"{topic.holds[0].upper()}{topic.holds[1:]}.{'' if names else f' {INTERNAL}'}",
        "parameters": parameters,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topicConfiguration": config, "bindingVersion": "0.5.0"}},
    }


def _operations(schemas: Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for stage in STAGES:
        for action, topics in (("receive", stage.reads), ("send", stage.writes)):
            for topic in topics:
                channel = f"#/channels/{_id(topic)}"
                found[_id(f"{stage.name}-{'reads' if action == 'receive' else 'writes'}-{topic}")] = {
                    "action": action,
                    "channel": {"$ref": channel},
                    "summary": f"{stage.name} {stage.does}: {stage.guarantee}",
                    "messages": [{"$ref": f"{channel}/messages/{name}"} for name in _names(topic, schemas)],
                }
    return found


def _messages(schemas: Schemas) -> dict[str, Any]:
    return {
        _type(schema): {
            "name": _type(schema),
            "title": where.replace("/", ": "),
            "contentType": "application/json",
            "payload": {"$ref": f"#/components/schemas/{_type(schema)}"},
            "bindings": {
                "kafka": {
                    "key": {"type": "string", "description": KEYS[where.partition("/")[0]]},
                    "bindingVersion": "0.5.0",
                }
            },
        }
        for where, schema in schemas.items()
    }


def _types(schemas: Schemas) -> dict[str, Any]:
    """All types of all schemas side by side; a type that several use is the same in each."""
    found = {name: _moved(kind) for schema in schemas.values() for name, kind in schema["$defs"].items()}
    return dict(sorted(found.items()))


def _moved(part: Any) -> Any:
    """A part of a schema whose references lead to where the types are now."""
    if isinstance(part, Mapping):
        return {
            key: value.replace("#/$defs/", "#/components/schemas/") if key == "$ref" else _moved(value)
            for key, value in part.items()
        }
    return [_moved(value) for value in part] if isinstance(part, list) else part


def _names(topic: str, schemas: Schemas) -> list[str]:
    return [_type(schema) for where, schema in schemas.items() if where.partition("/")[0] == topic]


def _type(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _id(name: str) -> str:
    """A name as AsyncAPI's tools like it: `dead-letters` is deadLetters."""
    return re.sub(r"-(\w)", lambda found: found[1].upper(), name)
