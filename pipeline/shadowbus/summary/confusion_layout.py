"""Tables of counts as people read them: the most frequent classes in order, all others together. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from shadowbus.statistics.contingency_table import OTHER

MOST_SHOWN = 20


def shown_classes(*weights: Mapping[tuple[str, ...], float]) -> list[str]:
    """The classes of some tables, in order; the `MOST_SHOWN` most frequent ones, and `(other)` if there are more.

    >>> shown_classes({("b", "a"): 2.0, ("10", "9"): 1.0})
    ['9', '10', 'a', 'b']
    """
    frequency: dict[str, float] = {}
    for table in weights:
        for cell, weight in table.items():
            for name in cell:
                frequency[name] = frequency.get(name, 0.0) + weight
    frequent = sorted(frequency.keys() - {OTHER}, key=lambda name: (-frequency[name], name))
    more = len(frequent) > MOST_SHOWN or OTHER in frequency
    return in_order(frequent[:MOST_SHOWN]) + [OTHER] * more


def in_order(names: Iterable[str]) -> list[str]:
    """Numbers by size, then texts."""
    return sorted(names, key=lambda name: (0, float(name), "") if _is_number(name) else (1, 0.0, name))


def matrix(weights: Mapping[tuple[str, ...], float], classes: Sequence[str]) -> list[list[float]]:
    """A table by row and column; what is not among the classes counts for the last one, which is `(other)` then.

    >>> matrix({("a", "b"): 2, ("c", "a"): 1}, ["a", "b", "(other)"])
    [[0, 2, 0], [0, 0, 0], [1, 0, 0]]
    """
    at = {name: position for position, name in enumerate(classes)}
    rows: list[list[float]] = [[0] * len(classes) for _ in classes]
    for (row, column), weight in weights.items():
        rows[at.get(row, -1)][at.get(column, -1)] += weight
    return rows


def _is_number(name: str) -> bool:
    return name.removeprefix("-").replace(".", "", 1).isdecimal()
