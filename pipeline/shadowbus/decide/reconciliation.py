"""The account books of one trial: is every record that was read accounted for, and is every comparison counted once?

In: what replay says in its vitals, for each source partition, and what the aggregate has counted there. Out: one
object with the sums, the gap, and a sentence. Pure.

Two equations hold exactly in every record of replay's vitals, over all trials of the shadow; a difference is a gap:

- requests read = comparisons of every status but `request_missing` + duplicates + dead-lettered + still waiting
  + sampled out
- predictions read = comparisons of every status but `live_missing` + duplicates + dead-lettered + still waiting
  + sampled out

A third one holds at every comparison, whatever the traffic: its running number is how many of its trial there are in
its partition. Where the highest number that was counted is not the count, some were lost on the way or set aside.

What replay claims to have written for this trial and what is counted differ while records are on their way: vitals are
older than the newest count, or the aggregate is behind. It is a gap only where the aggregate has read everything, and
neither has changed for `STILL_MS`. This finds what the running numbers cannot: the last ones, and a wrong status.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shadowbus.records import Partial
from shadowbus.totals.span import GateSpan
from shadowbus.totals.totals import Totals

STILL_MS = 30_000
ENTRIES = ("read", "duplicates", "dead_lettered", "waiting", "sampled_out")
SIDES = (("requests", "request_missing"), ("predictions", "live_missing"))


@dataclass(frozen=True, slots=True)
class Counted:
    """What the aggregate has counted of a trial in one source partition, and when that last changed.

    `number` is the highest running number among it; 0 where none has one.
    """

    statuses: Mapping[str, int]
    updated_ms: int
    number: int = 0


@dataclass(slots=True)
class _Findings:
    gap: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, gap: int, note: str) -> None:
        if gap:
            self.gap += gap
            self.notes.append(note)


def close_books(trial: str, counted: Mapping[int, Counted], vitals: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The books of a trial.

    Args:
        trial: Its name.
        counted: By source partition.
        vitals: By source partition, replay's newest vitals as `aggregate/vitals.py` writes them.

    Returns:
        `requests` and `predictions` with what was read and what became of it; `counted` and `claimed` comparisons of
        this trial, and both `by_status`; the `share` of ids that is replayed now, the smallest of all partitions;
        `settled` when counted and claimed agree; `gap` (records unaccounted for), `closes` when it is 0, and a `note`
        that names the gap.
    """
    findings = _Findings()
    document: dict[str, Any] = {side: _side(side, absent, vitals, findings) for side, absent in SIDES}
    claims = {partition: _statuses(record, trial) for partition, record in vitals.items()}
    for partition in sorted(counted.keys() | claims.keys()):
        _compare(partition, counted.get(partition), claims.get(partition), vitals.get(partition, {}), findings)
    ours = sum((Counter(part.statuses) for part in counted.values()), Counter[str]())
    theirs = sum(claims.values(), Counter[str]())
    statuses = sorted(ours.keys() | theirs.keys())
    return {
        **document,
        "counted": ours.total(),
        "claimed": theirs.total(),
        "share": min((_share(record) for record in vitals.values()), default=1.0),
        "by_status": {status: {"counted": ours[status], "claimed": theirs[status]} for status in statuses},
        "settled": all(_agree(partition, counted, claims) for partition in counted.keys() | claims.keys()),
        "closes": findings.gap == 0,
        "gap": findings.gap,
        "note": " ".join(findings.notes),
    }


def books_of(trial: str, partials: Iterable[Partial], vitals: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The account books of a trial, with the positions in its inputs up to which it is counted.

    Args:
        trial: Its name.
        partials: Those of the whole trial, one for each source partition.
        vitals: Replay's newest vitals, by source partition.
    """
    partials = list(partials)
    counted = {partial.partition: _counted(partial) for partial in partials}
    offsets = {str(partial.partition): partial.next_offsets for partial in partials}
    return {**close_books(trial, counted, vitals), "next_offsets": offsets}


def _counted(partial: Partial) -> Counted:
    statuses, number = GateSpan.from_record(partial.span).all_of(Totals.from_record(partial.totals))
    return Counted(statuses, partial.updated_ms, number)


def labels_page(vitals: Mapping[int, Mapping[str, Any]]) -> dict[str, int]:
    """Of all shadows, while no label has met a request: labels that are kept, and compared requests that wait for one.

    Args:
        vitals: The judge's newest, by source partition.
    """
    pages = [_table(record, "books") for record in vitals.values()]
    if any(_count(_table(page, "comparisons"), "judged") for page in pages):
        return {}
    names = {"kept": ("labels", "kept"), "waiting": ("comparisons", "waiting")}
    return {name: sum(_count(_table(page, side), entry) for page in pages) for name, (side, entry) in names.items()}


def _side(side: str, absent: str, vitals: Mapping[int, Mapping[str, Any]], findings: _Findings) -> dict[str, Any]:
    sums, compared, gaps = Counter[str](), Counter[str](), 0
    for partition, record in sorted(vitals.items()):
        page = _table(_table(record, "books"), side)
        entries = Counter({name: _count(page, name) for name in ENTRIES})
        became = Counter({status: count for status, count in _all_statuses(record) if status != absent})
        gap = abs(entries["read"] - (entries.total() - entries["read"]) - became.total())
        missed = _count(page, "never_read")
        why = f": {missed} were deleted or passed over before they were read" if missed else ""
        findings.add(gap, f"{gap} {side} of partition {partition} are unaccounted for{why}.")
        sums, compared, gaps = sums + entries, compared + became, gaps + gap
    return {**{name: sums[name] for name in ENTRIES}, "compared": dict(sorted(compared.items())), "gap": gaps}


def _compare(
    partition: int,
    counted: Counted | None,
    claimed: Counter[str] | None,
    record: Mapping[str, Any],
    findings: _Findings,
) -> None:
    seen = Counter(counted.statuses) if counted is not None else Counter[str]()
    if claimed is None:
        findings.add(seen.total(), f"Replay has not yet reported its books of partition {partition}.")
        return
    if counted is not None and counted.number:
        lost = counted.number - seen.total()
        how = "are not counted" if lost > 0 else "are counted though replay did not write them"
        findings.add(abs(lost), f"{abs(lost)} comparisons of partition {partition} {how}.")
        if lost:
            return
    moved_ms = max(counted.updated_ms if counted is not None else 0, _count(record, "claimed_since_ms"))
    still = record.get("behind") == 0 and _count(record, "written_ms") - moved_ms >= STILL_MS
    if still and seen != claimed:
        gap = sum(abs(seen[status] - claimed[status]) for status in seen.keys() | claimed.keys())
        findings.add(
            gap,
            f"Replay wrote {claimed.total()} comparisons to partition {partition}, {seen.total()} are counted "
            f"({gap} differ by status).",
        )


def _agree(partition: int, counted: Mapping[int, Counted], claims: Mapping[int, Counter[str]]) -> bool:
    seen = counted.get(partition)
    return partition in claims and claims[partition] == Counter(seen.statuses if seen is not None else {})


def _statuses(record: Mapping[str, Any], trial: str) -> Counter[str]:
    page = _table(_table(_table(record, "books"), "comparisons"), trial)
    return Counter({status: _count(page, status) for status in page})


def _all_statuses(record: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    sums = Counter[str]()
    for trial in _table(_table(record, "books"), "comparisons"):
        sums += _statuses(record, trial)
    yield from sums.items()


def _table(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = record.get(name)
    return found if isinstance(found, Mapping) else {}


def _share(record: Mapping[str, Any]) -> float:
    found = record.get("share")
    return found if isinstance(found, float) else 1.0


def _count(record: Mapping[str, Any], name: str) -> int:
    found = record.get(name)
    return found if isinstance(found, int) else 0
