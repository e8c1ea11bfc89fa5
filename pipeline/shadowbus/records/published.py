"""Records of the verdicts and aggregates topics, as anybody may have written them: each is read alone. Pure.

In: a key and a value. Out: the record, or `Malformed` with the reason. Guaranteed: what is let through is of the trial
that its key says, and its parts have the shapes that readers count on; so one odd record is one odd record for all.
"""

from collections.abc import Mapping

from shadowbus.errors import Malformed
from shadowbus.records.codec import decode
from shadowbus.records.totals import Aggregate
from shadowbus.records.verdict import Told, Verdict

WORDS = ("PROMOTE", "KEEP_WATCHING", "SEND_BACK")
"""What a verdict may be."""

LATEST_MS = 1 << 53
_NUMBERS = ("value", "low", "high", "limit", "n")


def read_verdict(value: bytes | None, key: bytes | None = None) -> Verdict:
    """One verdict.

    Args:
        value: The record's bytes.
        key: Its key, where that is known; a trial has one verdict, under its own name.

    Raises:
        Malformed: It is none, or of another trial than its key says.
    """
    record = decode(Verdict, value)
    _check_key(record.trial, key)
    if record.verdict not in WORDS or record.shown not in ("", *WORDS):
        raise Malformed(f"{record.verdict!r:.100} is no verdict")
    if record.previous is not None and record.previous.verdict not in WORDS:
        raise Malformed(f"{record.previous.verdict!r:.100}, which stood before it, is no verdict")
    for name in ("decided_ms", "since_ms", "requests", "labels"):
        _check_count(name, getattr(record, name))
    for one in record.criteria:
        _check_criterion(one)
    for name in ("requests", "labels", "at_ms"):
        if (found := record.needed.get(name)) is not None:
            _check_count(f"needed.{name}", found)
    if not isinstance(record.needed.get("note", ""), str):
        raise Malformed("the field 'needed.note' has to be text")
    ranges_of(record.evidence)
    return record


def read_aggregate(value: bytes | None, key: bytes | None = None) -> Aggregate:
    """One aggregate; arguments as of `read_verdict`.

    Raises:
        Malformed: It is none, or of another trial, segment or window than its key says.
    """
    record = decode(Aggregate, value)
    _check_key(f"{record.trial}|{record.segment}|{record.window}", key)
    if record.window != "all" and not (record.window.isdecimal() and int(record.window[:20]) < LATEST_MS):
        raise Malformed(f"{record.window!r:.100} is no window")
    _check_count("updated_ms", record.updated_ms)
    return record


def read_told(value: bytes | None, key: bytes) -> Told:
    """What a receiver of notifications knows of a trial.

    Raises:
        Malformed: It is none, or of another trial or receiver than its key says.
    """
    record = decode(Told, value)
    _check_key(f"{record.trial}|told|{record.receiver}", key)
    _check_count("count", record.count)
    return record


def ranges_of(evidence: Mapping[str, object]) -> dict[str, dict[str, tuple[int, int]]]:
    """The offsets in a verdict's evidence, (first, next) by topic and partition; nothing where there are none.

    Raises:
        Malformed: They are something else.
    """
    offsets = evidence.get("offsets", {})
    if not isinstance(offsets, Mapping) or not all(isinstance(ranges, Mapping) for ranges in offsets.values()):
        raise Malformed("the evidence's offsets have to be ranges by topic and partition")
    found: dict[str, dict[str, tuple[int, int]]] = {}
    for topic, ranges in offsets.items():
        for partition, ends in ranges.items():
            if not (str(partition).isdecimal() and len(str(partition)) < 10 and _is_range(ends)):
                raise Malformed(f"the evidence's offsets of {topic!r:.100} cannot be read")
            found.setdefault(topic, {})[str(int(partition))] = (ends[0], ends[1])
        found.setdefault(topic, {})
    return found


def _is_range(ends: object) -> bool:
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return False
    return all(type(end) is int and 0 <= end < LATEST_MS << 10 for end in ends)


def _check_key(named: str, key: bytes | None) -> None:
    if key is not None and named.encode() != key:
        raise Malformed(f"it is of {named!r:.200}, and its key says {key.decode(errors='replace')!r:.200}")


def _check_count(name: str, found: object) -> None:
    if type(found) is not int or not 0 <= found < LATEST_MS:
        raise Malformed(f"the field '{name}' has to be a count or a time, not {found!r:.100}")


def _check_criterion(one: object) -> None:
    if not isinstance(one, Mapping) or not isinstance(one.get("name"), str) or not isinstance(one.get("state"), str):
        raise Malformed(f"{one!r:.100} is no criterion")
    for name in _NUMBERS:
        found = one.get(name)
        if found is not None and (isinstance(found, bool) or not isinstance(found, int | float)):
            raise Malformed(f"the '{name}' of the criterion {one['name']!r:.100} has to be a number")
    if not isinstance(one.get("note", ""), str):
        raise Malformed(f"the 'note' of the criterion {one['name']!r:.100} has to be text")
