"""What a verdict rests on, as lines for a person who wants to check it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shadowbus.records import Verdict


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that the verdict rests on; `exact` is where a machine's text is meant, such as a digest."""

    what: str
    text: str
    exact: bool = True


def lines_of(verdict: Verdict) -> tuple[Line, ...]:
    """The offset ranges, the digests, and since when the verdict stands."""
    return tuple(_lines(verdict))


def _lines(verdict: Verdict) -> Iterator[Line]:
    evidence = verdict.evidence
    offsets = evidence.get("offsets")
    for topic, ranges in (offsets if isinstance(offsets, Mapping) else {}).items():
        if isinstance(ranges, Mapping) and ranges:
            parts = [_range(partition, ends) for partition, ends in ranges.items()]
            yield Line(f"Offsets of {topic}", ", ".join(parts))
    models = evidence.get("models")
    for digest in models if isinstance(models, list) else ():
        yield Line("Model, SHA-256", str(digest))
    settings = evidence.get("settings")
    if isinstance(settings, Mapping):
        for name, digest in settings.items():
            yield Line(f"Settings of {name}, digest", str(digest))
    if verdict.note:
        yield Line("The last move", verdict.note, exact=False)


def _range(partition: object, ends: object) -> str:
    if isinstance(ends, list | tuple) and len(ends) == 2:
        return f"{partition}: {ends[0]} to {ends[1]}"
    return f"{partition}: {ends}"
