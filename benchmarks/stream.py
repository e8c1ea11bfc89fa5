"""A namespace with its topics, settings and traffic: what a candidate is let loose on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic
from workload import produce_pairs

from shadowbus.kafka.topics import create_topics, wanted_topics
from shadowbus.settings import load_settings

SHADOW = "challenger"


@dataclass(frozen=True)
class Stream:
    """Topics on one broker, and the settings file of the shadow that watches them."""

    bootstrap: str
    namespace: str
    bundle: Path
    config: Path
    partitions: int

    def topic(self, name: str) -> str:
        """A topic's full name."""
        return f"{self.namespace}.{name}"

    def add_topics(self, names: Sequence[str]) -> None:
        """Create further topics, with as many partitions as the others."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        new = [NewTopic(self.topic(name), self.partitions, 1) for name in names]
        for future in admin.create_topics(new).values() if new else ():
            future.result(30)

    def delete(self, extra: Sequence[str] = ()) -> None:
        """Delete every topic, so that the disk and the page cache are free for the next."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        names = [*wanted_topics(load_settings(self.config)), *map(self.topic, extra)]
        for future in admin.delete_topics(names, operation_timeout=30).values():
            future.exception(30)


def open_stream(
    bootstrap: str,
    namespace: str,
    bundle: Path,
    *,
    partitions: int = 4,
    settings: Mapping[str, object] | None = None,
) -> Stream:
    """Create a namespace's topics, empty, and its settings file beside the bundle.

    Args:
        bootstrap: The broker.
        namespace: A new one.
        bundle: The shadow's model.
        partitions: Of every topic.
        settings: Further settings, `table.key` to value.
    """
    config = bundle.parent / f"{namespace}.toml"
    tables: dict[str, list[str]] = {"shadow": [f'name = "{SHADOW}"', f'model = "{bundle}"']}
    for key, value in (settings or {}).items():
        table, _, name = key.rpartition(".")
        tables.setdefault(table, []).append(f"{name} = {value}")
    lines = [f'namespace = "{namespace}"', f"partitions = {partitions}"]
    lines += ["[kafka]", f'"bootstrap.servers" = "{bootstrap}"']
    for table, keys in tables.items():
        lines += ["[[shadow]]" if table == "shadow" else f"[{table}]", *keys]
    config.write_text("\n".join(lines) + "\n")
    create_topics(load_settings(config))
    return Stream(bootstrap, namespace, bundle, config, partitions)


def filled_stream(
    bootstrap: str,
    namespace: str,
    bundle: Path,
    pairs: int,
    *,
    partitions: int = 4,
    settings: Mapping[str, object] | None = None,
) -> Stream:
    """A new namespace that holds so many pairs already; see `open_stream`."""
    stream = open_stream(bootstrap, namespace, bundle, partitions=partitions, settings=settings)
    produce_pairs(bootstrap, namespace, pairs)
    return stream
