"""`[[segment]]`: a segment that replay computes from a feature, by a rule."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from shadowbus.errors import SettingsError

LONGEST = 100
MOST_VALUES = 200


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """One `[[segment]]`: a feature, and either the values or the edges that tell its segments apart."""

    name: str
    feature: str
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()


def check_segments(rules: Sequence[SegmentSettings], source: object) -> None:
    """Are these rules that can be followed?

    Raises:
        SettingsError: One of them is not; the message names the file and the key.
    """
    names = [rule.name for rule in rules]
    for i, rule in enumerate(rules):
        problems = {
            "name": _unusable(rule.name) or ("=" in rule.name and "may not hold '='"),
            "feature": not rule.feature and "has to name a feature, or its place in a list",
            "values": bool(rule.values) == bool(rule.edges) and "or 'edges' is needed, and not both",
            "edges": not _grow(rule.edges) and "have to be finite, and to grow",
        }
        if names.count(rule.name) > 1:
            problems["name"] = f"{rule.name!r} is used twice"
        if max(len(rule.values), len(rule.edges)) > MOST_VALUES:
            problems["values"] = f"or 'edges' may be {MOST_VALUES} at most"
        elif len(set(rule.values)) < len(rule.values) or any(map(_unusable, rule.values)):
            problems["values"] = f"have to differ, and be texts of up to {LONGEST} characters without '|'"
        for key, rule_broken in problems.items():
            if rule_broken:
                raise SettingsError(f"{source}: 'segment[{i}].{key}' {rule_broken}.")


def _grow(edges: Sequence[float]) -> bool:
    return all(map(math.isfinite, edges)) and all(low < high for low, high in itertools.pairwise(edges))


def _unusable(text: str) -> str:
    fits = 0 < len(text) <= LONGEST and "|" not in text
    return "" if fits else f"has to be a text of up to {LONGEST} characters without '|'"
