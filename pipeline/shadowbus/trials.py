"""The names of trials, and the records of one trial among those of many. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol, Self, TypeVar

from msgspec import DecodeError
from msgspec.json import Decoder


class OfTrial(Protocol):
    """A record of one request in a trial."""

    request_id: str
    timestamp_ms: int
    trial: str


Kind = TypeVar("Kind")
Record = TypeVar("Record", bound=OfTrial)


class TrialName(NamedTuple):
    """The name of a trial in parts: `<live model>~<shadow>@<version>`. The only place that puts it together or apart.

    Attributes:
        live: The live model, with its version.
        model: The shadow's model: its name and version.

    >>> name = TrialName.parse("champion@3~challenger@4")
    >>> name.live, name.model, name.shadow, name.version, str(name)
    ('champion@3', 'challenger@4', 'challenger', '4', 'champion@3~challenger@4')
    """

    live: str
    model: str

    @classmethod
    def parse(cls, name: str) -> Self:
        """The parts of a name; what is no name of a trial has an empty `model`."""
        live, _, model = name.partition("~")
        return cls(live, model)

    @property
    def shadow(self) -> str:
        """The shadow's name in the settings."""
        return self.model.partition("@")[0]

    @property
    def version(self) -> str:
        """The version of the shadow's model."""
        return self.model.partition("@")[2]

    def __str__(self) -> str:
        return f"{self.live}~{self.model}"


def shadow_of(trial: str) -> str:
    """The shadow of a trial, by the trial's name."""
    return TrialName.parse(trial).shadow


def verdicts_in(table: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The verdicts of a verdicts topic: beside each, under `trial|…`, may lie what was done about it.

    >>> verdicts_in({b"a@1~b@2": b"the verdict", b"a@1~b@2|told|chat": b"who knows"})
    {b'a@1~b@2': b'the verdict'}
    """
    return {key: value for key, value in table.items() if b"|" not in key}


def acts_in(table: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """The records of what was done about verdicts, in a verdicts topic."""
    return {key: value for key, value in table.items() if key.endswith(b"|promotion")}


def readable(kind: type[Kind], values: Iterable[bytes]) -> Iterator[Kind]:
    """The JSON records among these values that are of this kind, a msgspec type; the others are left out."""
    read = Decoder(kind).decode
    for value in values:
        try:
            yield read(value)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            continue


def newest_trial(records: Iterable[Record], shadow: str, trial: str | None = None) -> tuple[str, dict[str, Record]]:
    """The name of a shadow's trial and its records by request id, the last of each; nothing where there is none.

    Args:
        records: Records of whatever trials.
        shadow: The shadow's name in the settings.
        trial: Which of its trials; else the one with the newest record.
    """
    found, newest = dict[str, dict[str, Record]](), dict[str, int]()
    for one in records:
        if shadow_of(one.trial) == shadow and trial in (None, one.trial):
            found.setdefault(one.trial, {})[one.request_id] = one
            newest[one.trial] = max(newest.get(one.trial, 0), one.timestamp_ms)
    if not found:
        return "", {}
    name = max(found, key=lambda each: (newest[each], each))
    return name, found[name]
