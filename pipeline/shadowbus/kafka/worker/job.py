"""What a worker runs: a stage, its topics, and the consumer group that shares the work."""

from collections.abc import Callable
from dataclasses import dataclass

from shadowbus.stage import Stage
from shadowbus.topology import Topic


@dataclass(frozen=True, slots=True)
class Job:
    """What one worker runs: the stage, its topics, and the group that shares the work.

    `changelog` is read whole before input is taken: the partitions assigned, or every partition of it where
    `changelog_whole` (a compacted topic that is not laid out by source partition). `anew` says how a person starts over
    where the inputs are other topics than before.
    """

    name: str
    inputs: tuple[Topic, ...]
    outputs: tuple[Topic, ...]
    open_stage: Callable[[frozenset[int]], Stage]
    shadow: str = ""
    changelog: Topic | None = None
    changelog_whole: bool = False
    anew: str = "Start over in a new namespace."

    def group(self, namespace: str) -> str:
        """The consumer group, one per stage and shadow."""
        return ".".join(part for part in (namespace, self.shadow, self.name) if part)

    def topic_names(self, namespace: str) -> dict[str, str]:
        """Full topic names by their names in the topology."""
        return {topic.name: topic.full_name(namespace, self.shadow) for topic in self._topics}

    def limits(self) -> dict[str, int]:
        """The largest key and value together that each topic takes, by its name in the topology."""
        return {topic.name: topic.max_output_bytes for topic in self._topics}

    @property
    def _topics(self) -> tuple[Topic, ...]:
        return (*self.inputs, *self.outputs, *((self.changelog,) if self.changelog else ()))
