"""Several KLL sketches as one, the same bytes each time: the library's own merge throws dice nobody can load. Pure.

In: the bytes of sketches as `datasketches` writes them. Out: bytes that it reads. Each level holds items that stand for
2^level values; where there are more than fit, a level is sorted and every second item goes up. Which half that is, is
the coin of Karnin, Lang & Liberty (2016); here it is drawn from a digest of the items, so it is the same for the same
ones and has nothing to do with their order.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

LEAST = 8
"""The smallest capacity of a level, as in the library."""

_SHORT, _LONG, _VERSION, _FAMILY = 2, 5, 1, 15
_HEAD = struct.Struct("<BBBBHBxQHBx")  # sizes, flags, k, m, n, the smallest k, how many levels
_EDGES = struct.Struct("<ff")  # the smallest and the largest value

Items = NDArray[np.float32]


def union(sketches: Iterable[bytes], k: int) -> bytes:
    """The sketch of all values of some sketches, which must not be empty; of one it is that itself.

    Args:
        sketches: Their bytes.
        k: Their size.
    """
    ordered = sorted(sketches)
    if len(ordered) == 1:
        return ordered[0]
    read = [_read(one) for one in ordered]
    heights = range(max(len(one) for one, _, _ in read))
    levels = [np.concatenate([one[at] for one, _, _ in read if at < len(one)]) for at in heights]
    _compress(levels, k)
    n = sum(len(items) << height for height, items in enumerate(levels))
    edges = min(low for _, low, _ in read), max(high for _, _, high in read)
    return _written(levels, n, edges, k)


def capacity(k: int, height: int, levels: int) -> int:
    """How many items a level holds: `k` on top, two thirds of that below, and so on."""
    depth = levels - height - 1
    return max(LEAST, ((2 * k << depth) // int(3**depth) + 1) >> 1)


def _compress(levels: list[Items], k: int) -> None:
    """Move items up until all fit."""
    while sum(map(len, levels)) > sum(capacity(k, height, len(levels)) for height in range(len(levels))):
        full = next(at for at, one in enumerate(levels) if len(one) >= capacity(k, at, len(levels)))
        if full == len(levels) - 1:
            levels.append(np.empty(0, np.float32))
        items = np.sort(levels[full])
        odd = len(items) % 2
        coin = hashlib.blake2b(items.tobytes(), digest_size=1).digest()[0] & 1
        levels[full], levels[full + 1] = items[:odd], np.concatenate((levels[full + 1], items[odd + coin :: 2]))


def _read(raw: bytes) -> tuple[list[Items], float, float]:
    """The items by level, and the smallest and the largest value."""
    if raw[0] == _SHORT:  # one value
        (value,) = struct.unpack_from("<f", raw, 8)
        return [np.array([value], np.float32)], value, value
    count = raw[18]
    starts = np.frombuffer(raw, "<u4", count, _HEAD.size).astype(np.int64)
    low, high = _EDGES.unpack_from(raw, _HEAD.size + 4 * count)
    items = np.frombuffer(raw, "<f4", offset=_HEAD.size + 4 * count + _EDGES.size)
    return np.split(items, (starts - starts[0])[1:]), low, high


def _written(levels: Sequence[Items], n: int, edges: tuple[float, float], k: int) -> bytes:
    sizes = [len(items) for items in levels]
    room = sum(capacity(k, height, len(levels)) for height in range(len(levels)))
    starts = room - sum(sizes) + np.cumsum([0, *sizes[:-1]])
    head = _HEAD.pack(_LONG, _VERSION, _FAMILY, 0, k, LEAST, n, k, len(levels))
    body = np.concatenate([np.sort(items) for items in levels]).astype("<f4").tobytes()
    return head + starts.astype("<u4").tobytes() + _EDGES.pack(*edges) + body
