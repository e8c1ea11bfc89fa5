"""Is anything wrong with the harness? Workers, lag, restarts, memory; and a sentence for whatever looks odd."""

from collections.abc import Iterator
from dataclasses import dataclass

from shadowbus.story.fields import Table, count, number, section, sequence
from shadowbus.story.figures import MISSING, counted, memory, milliseconds, share
from shadowbus.story.ledger import Ledger
from shadowbus.story.vocabulary import only_in_labels

BEHIND = 5_000
QUIET_MS = 600_000
COVERAGE_APART = 0.1
FEATURES_LACK = 0.01


@dataclass(frozen=True, slots=True)
class Resources:
    """What replay says of the shadow's processes; each number as text beside it.

    `remarks` are sentences on what does not go as it should, and changes no answer; `network` is one on a network that
    the model has and should not, or misses; empty where all is well.
    """

    workers: int
    lag: int
    restarts: int
    circuits_open: int
    deaths: tuple[tuple[str, int], ...]
    memory_text: str
    cpu_text: str
    batch_text: str
    remarks: tuple[str, ...]
    network: str


def resources(summary: Table) -> Resources | None:
    """The field `resources` of a summary; None before vitals came."""
    found = section(summary, "resources")
    if not found:
        return None
    deaths = section(found, "deaths")
    per_row = number(found, "cpu_ms_per_row")
    return Resources(
        count(found, "workers"),
        count(found, "lag"),
        count(found, "restarts"),
        count(found, "circuit_open"),
        tuple((str(kind), count(deaths, kind)) for kind in deaths if count(deaths, kind)),
        memory(number(found, "resident_bytes")),
        MISSING if per_row is None else f"{milliseconds(per_row)} a request",
        MISSING if (batch := number(found, "batch_ms_per_row")) is None else f"{milliseconds(batch)} a request",
        tuple(_remarks(found)),
        _network(found),
    )


def _remarks(found: Table) -> Iterator[str]:
    if reasons := _texts(found, "given_up"):
        yield f"The model costs more than it has to: {'; '.join(reasons).rstrip('.')}."
    detours = section(found, "detours")
    if ways := [f"{way} {count(detours, way):,}" for way in detours if count(detours, way)]:
        yield (
            f"A quicker way to the same answers failed {counted(sum(count(detours, way) for way in detours), 'time')} "
            f"({', '.join(ways)}): docs/operations.md says what each is."
        )


def _network(found: Table) -> str:
    if missed := count(found, "network_missed"):
        return (
            f"The model tried {counted(missed, 'time')} to reach a network, and has none: its answers may not be those "
            "it gives in production. Where what it sends may be sent twice, set network = true in its [[shadow]]."
        )
    if reasons := _texts(found, "not_isolated"):
        return (
            f"The model reaches the network ({'; '.join(reasons).removeprefix('not isolated: ')}): docs/operations.md."
        )
    return ""


def _texts(found: Table, name: str) -> list[str]:
    return [one for one in sequence(found, name) if isinstance(one, str)]


def warnings(summary: Table, books: Ledger, health: Resources | None, quiet_ms: int) -> tuple[str, ...]:
    """What a person should look into before believing the numbers; nothing where all is well.

    Args:
        summary: Of the whole trial.
        books: Of the trial.
        health: Its resources.
        quiet_ms: How long ago anything about this trial changed.
    """
    return (*_of_books(books), *_of_workers(health), *_of_inputs(summary), *_of_silence(quiet_ms))


def _of_books(books: Ledger) -> Iterator[str]:
    if books.closes is False and books.reported:
        yield books.text
    if books.share < 1:
        yield f"Replay takes {share(books.share)} of the requests only, to keep pace; rates are weighted for that."
    if books.unmet:
        yield books.unmet
    dead = sum(amount for one in books.equations for name, amount in one.terms if name == "dead letters")
    if dead:
        yield f"{counted(dead, 'record')} could not be used: see the topic dead-letters."


def _of_workers(health: Resources | None) -> Iterator[str]:
    if health is None:
        return
    if health.circuits_open:
        yield (
            f"The shadow failed so often that {counted(health.circuits_open, 'worker')} stopped asking it for a while: "
            "requests count as failed in the meantime."
        )
    if health.network:
        yield health.network
    if health.lag > BEHIND:
        yield f"Replay is {counted(health.lag, 'record')} behind: what is shown is older than it looks."


def _of_inputs(summary: Table) -> Iterator[str]:
    complete = number(section(section(summary, "features"), "complete"), "value")
    if complete is not None and 1 - complete > FEATURES_LACK:
        yield f"{share(1 - complete)} of the requests lack a feature that the shadow's model reads."
    live = number(section(summary, "live_errors"), "value")
    if live:
        yield f"The live model itself failed on {share(live)} of the requests."
    if strange := only_in_labels(summary):
        yield strange
    coverage = section(summary, "coverage")
    agreed, differ = (number(section(coverage, name), "value") for name in ("agreed", "disagreed"))
    if agreed is not None and differ is not None and abs(agreed - differ) > COVERAGE_APART:
        yield (
            f"Labels come for {share(agreed)} of the requests on which both agree, but for {share(differ)} of those on "
            "which they do not: the accuracy speaks of some requests only."
        )


def _of_silence(quiet_ms: int) -> Iterator[str]:
    if quiet_ms > QUIET_MS:
        minutes = quiet_ms // 60_000
        yield f"Nothing new for {counted(minutes, 'minute')}: is the service running, are the workers?"
