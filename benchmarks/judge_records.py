"""What the judge's benchmark is made of: comparisons that wait, and the labels of some of them.

Ids are spread over the whole range of keys, as random ids are: those that are asked for one after the other lie nowhere
near each other in a store.
"""

import random
from collections.abc import Iterable, Iterator

SPREAD = 0x9E37_79B9_7F4A_7C15
"""Odd, so that each number has an id of its own."""

_DICE = random.Random(4)
_SCORES = [_DICE.random() for _ in range(9_973)]

_COMPARISON = (
    b'{"v":1,"request_id":"%b","timestamp_ms":%d,"trial":"champion@7~challenger@1","status":"compared",'
    b'"live":{"model":"champion@7","prediction":%d,"scores":[%.4f,%.4f],"latency_ms":3.25,"error":null},'
    b'"shadow":{"model":"challenger@1","prediction":%d,"scores":[%.16f,%.16f],"latency_ms":null,"error":null},'
    b'"agree":%b,"distance":0.25,"weight":1.0,"segments":{"country":"%b"},"missing_features":[]}'
)


def key_of(number: int) -> bytes:
    """The request id of a number.

    >>> key_of(1), len({key_of(number) for number in range(1_000)})
    (b'9e3779b97f4a7c15-1', 1000)
    """
    return b"%016x-%x" % (number * SPREAD & 0xFFFF_FFFF_FFFF_FFFF, number)


def comparison(number: int) -> tuple[bytes, bytes]:
    """Key and value of a comparison, as replay writes them."""
    key, live, shadow = key_of(number), (number % 97) / 97, _SCORES[number % len(_SCORES)]
    answers = int(live > 0.5), int(shadow > 0.5)
    at_ms, agree = 1_700_000_000_000 + number, b"true" if answers[0] == answers[1] else b"false"
    scores = (1 - live, live), (1 - shadow, shadow)
    return key, _COMPARISON % (
        key, at_ms, answers[0], *scores[0], answers[1], *scores[1], agree, b"DE" if number % 3 else b"FR"
    )  # fmt: skip


def label(number: int) -> tuple[bytes, bytes]:
    """Key and value of a label: half of the answers are right."""
    key = key_of(number)
    return key, b'{"v":1,"request_id":"%b","timestamp_ms":%d,"label":%d}' % (key, 1_700_000_100_000, number % 2)


def agreeing(numbers: Iterable[int]) -> int:
    """Of how many of these comparisons both models said the same."""
    return sum(b'"agree":true' in comparison(number)[1] for number in numbers)


def chosen(waiting: int, count: int) -> Iterator[list[int]]:
    """One choice after the other of `count` numbers of those that wait, each number once."""
    numbers = random.Random(5).sample(range(waiting), 2 * count)
    yield numbers[:count]
    yield numbers[count:]
