"""The verdicts of one trial as a committed reader sees them: each change once, none missing, none decided on less."""

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any


def assert_each_change_once(written: Sequence[dict[str, Any]]) -> None:
    """Each verdict names the one before it, says something new, and rests on no less.

    Args:
        written: All verdicts of one trial, in the order in which they lie in the topic.
    """
    assert written[0]["previous"] is None
    for before, after in itertools.pairwise(written):
        named, there = after["previous"], {"verdict": before["verdict"], "since_ms": before["since_ms"]}
        # A record that says why there is no verdict keeps the one before it.
        assert named == (before["previous"] if before.get("fault") else there), (brief(before), brief(after))
        assert content(after) != content(before), brief(after)
        assert read_to(after) >= read_to(before), (brief(before), brief(after))


def brief(verdict: dict[str, Any]) -> dict[str, Any]:
    """What a failure shows of a verdict."""
    return {name: part for name, part in verdict.items() if name not in ("criteria", "obstacles", "gate", "books")}


def content(verdict: dict[str, Any]) -> dict[str, Any]:
    """What makes a verdict another one."""
    evidence = {name: part for name, part in verdict["evidence"].items() if name in ("models", "settings")}
    return {**verdict, "decided_ms": 0, "previous": None, "note": "", "evidence": evidence}


def read_to(verdict: dict[str, Any]) -> Counter[tuple[str, str]]:
    """How far a verdict counts, by topic and partition."""
    offsets = verdict["evidence"]["offsets"]
    return Counter({(topic, one): after for topic, ones in offsets.items() for one, (_, after) in ones.items()})
