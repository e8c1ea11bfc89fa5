"""The queue: which disagreements to label, and a few agreements.

In: candidates, the labelling budget, the share of it for agreements. Out: the chosen ones with their probability, and
how precise their labels will be. Only where the models differ can one be right and the other
wrong, so that is where labels tell most; a few agreements keep that assumption, and the models' own accuracy, in sight.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shadowbus.labelling.candidate import Candidate
from shadowbus.labelling.sample import Chosen, even_shares, sample, standard_error

REST = "the rest"

Stratum = tuple[bool, str]
"""Whether both models agree, and the segment where that counts."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What to label.

    Attributes:
        chosen: Candidates with their probabilities, in the order in which to label them.
        disagreements: How many disagreements there were to choose from.
        agreements: How many agreements.
        margin: By how much, at most, the accuracy difference that these labels show is off, in 19 of 20 cases.
    """

    chosen: tuple[tuple[Candidate, float], ...]
    disagreements: int
    agreements: int
    margin: float


def queue(
    candidates: Sequence[Candidate],
    count: int,
    *,
    agreements: float = 0.1,
    seed: int = 0,
    by_segment: str | None = None,
) -> Queue:
    """Choose what to label.

    Args:
        candidates: What could be labelled, each once.
        count: The labelling budget: how many requests to choose.
        agreements: The share of them that goes to agreements.
        seed: Random seed.
        by_segment: The name of a segment whose values are to have about equally many labels each.
    """
    by_id = {one.request_id: one for one in candidates}
    wanted = {True: round(count * agreements), False: count - round(count * agreements)}
    ids, take = dict[Stratum, list[str]](), dict[Stratum, int]()
    for agree, most in wanted.items():
        names = _strata([one for one in candidates if one.agree is agree], by_segment, most)
        for one, name in names.items():
            ids.setdefault((agree, name), []).append(one)
        take.update(even_shares({one: len(members) for one, members in ids.items() if one[0] is agree}, most))
    chosen: list[Chosen[Stratum]] = sample(ids, take, seed)
    # Equal answers are right or wrong together: they add nothing to the difference, and no error either.
    errors = [(len(members), 0 if one[0] else take[one]) for one, members in ids.items()]
    sizes = Counter(one.agree for one in candidates)
    return Queue(
        tuple((by_id[one.request_id], one.probability) for one in chosen),
        disagreements=sizes[False],
        agreements=sizes[True],
        margin=1.96 * standard_error(errors) if sizes[False] and wanted[False] else float(sizes[False] > 0),
    )


def _strata(candidates: Sequence[Candidate], by_segment: str | None, most: int) -> Mapping[str, str]:
    """The stratum of each id. There are few enough of them that each has at least one label, if there are any."""
    if by_segment is None:
        return dict.fromkeys((one.request_id for one in candidates), "")
    names = {one.request_id: str(one.segments.get(by_segment)) for one in candidates}
    kept = {name for name, _ in Counter(names.values()).most_common(max(0, most // 2))}
    return {one: name if name in kept else REST for one, name in names.items()}
