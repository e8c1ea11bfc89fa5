"""A stratified random sample, in which each member's probability of being in it is known exactly.

In: a population in strata, how many to take of each, a seed. Out: the chosen ones with their probability, `taken /
size` of their stratum: simple random sampling without replacement in each (Cochran, *Sampling Techniques*, 1977,
chapter 5). Chance comes from a hash of the seed and the id, so the same question has the same answer anywhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Generic, TypeVar

Stratum = TypeVar("Stratum")


@dataclass(frozen=True, slots=True)
class Chosen(Generic[Stratum]):
    """One id, its stratum, and with which probability it was chosen."""

    request_id: str
    stratum: Stratum
    probability: float


def sample(ids: Mapping[Stratum, Sequence[str]], take: Mapping[Stratum, int], seed: int) -> list[Chosen[Stratum]]:
    """Choose this many of each stratum.

    The order is such that the strata take turns, each by its own size: whoever stops on the way has labelled about the
    same share of each.

    Args:
        ids: The different ids in each stratum.
        take: How many of each to choose; at most as many as there are.
        seed: Random seed.

    >>> sample({"a": ["1", "2", "3", "4"]}, {"a": 2}, seed=1)[0].probability
    0.5
    """
    chosen = list[tuple[float, bytes, Chosen[Stratum]]]()
    for stratum, members in ids.items():
        count = min(take.get(stratum, 0), len(members))
        ranked = sorted((_chance(seed, one), one) for one in members)[:count]
        for place, (chance, one) in enumerate(ranked):
            chosen.append(((place + 0.5) / count, chance, Chosen(one, stratum, count / len(members))))
    return [one for _, _, one in sorted(chosen, key=lambda ranked: ranked[:2])]


def even_shares(sizes: Mapping[Stratum, int], total: int) -> dict[Stratum, int]:
    """As many of each stratum as evenly as their sizes allow, `total` together or all there are.

    >>> even_shares({"DE": 1_000, "FR": 500, "LU": 10}, 100)
    {'DE': 45, 'FR': 45, 'LU': 10}
    """
    shares = dict.fromkeys(sizes, 0)
    left, open_strata = min(total, sum(sizes.values())), sorted(sizes, key=lambda one: sizes[one])
    for done, stratum in enumerate(open_strata):
        shares[stratum] = min(sizes[stratum], left // (len(open_strata) - done))
        left -= shares[stratum]
    return shares


def standard_error(strata: Iterable[tuple[int, int]]) -> float:
    """The largest standard error that a mean over all strata of values from -1 to 1 can have.

    Cochran (1977), theorem 5.3, with the largest variance there can be in each stratum.

    Args:
        strata: Size of each stratum, and how many are taken of it; those of which none is taken hold nothing but 0.

    >>> round(standard_error([(1_000, 100), (9_000, 0)]), 5)
    0.00949
    """
    known = list(strata)
    everything = sum(size for size, _ in known)
    variance = sum((size / everything) ** 2 * (1 - taken / size) / taken for size, taken in known if taken)
    return float(variance**0.5)


def _chance(seed: int, request_id: str) -> bytes:
    return blake2b(f"{seed}|{request_id}".encode(), digest_size=16, person=b"labelling").digest()
