"""Are the requests that have their label like those that have none? Labels may exist only because the champion acted.

A declined loan never shows whether it would have been repaid. Then the accuracy on labels speaks of some requests only.
What comes in are counts of compared and of labelled requests: by whether the models agree, and by what the live model
answered. What goes out is whether labels depend on these, or look so, and how many answers are unknown then.

Labels that are simply late are no sign of anything, as long as they are as late for one kind of request as for another.
Nor are labels that somebody chose to ask for, with a known probability: what is counted here has their weights.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shadowbus.settings import GateSettings
from shadowbus.verdict.counts import Counts, Covered, Evidence
from shadowbus.verdict.criterion import Criterion

RESTING = ("accuracy_margin", "min_accuracy_gain", "max_loss_increase", "min_value_gain", "max_calibration_error")
"""The settings of criteria that rest on labels."""


SUSPICIOUS = 0.01
"""How unlikely it has to be, at one look, that labels depend on nothing, for the gate to be careful."""


@dataclass(frozen=True, slots=True)
class Dependence:
    """What labels depend on, in words, the coverage of each kind of request, and whether it is shown or looks so."""

    on: str
    kinds: Mapping[str, Covered]
    certain: bool


def dependence(evidence: Evidence, gate: GateSettings) -> Dependence | None:
    """What labels depend on; None while it does not look so, or nobody asks.

    Each of the two halves of alpha is spent as in `shown`. Of `K` live answers each has its half over `K (K + 1)`, as
    more may appear (the sum over j of `1 / (j (j + 1))` is 1). Before it is shown it is suspected, at a level that is
    meant for one look: the accuracy may have been shown by then, and too much caution costs time and nothing else.
    """
    if gate.labels_at_random or all(getattr(gate, name) is None for name in RESTING):
        return None
    looks, suspected = evidence.counts.comparisons + evidence.counts.labels, None
    for on, kinds, alpha in _partitions(evidence, gate.alpha):
        if any(shown(kind, whole(kinds), looks, alpha) for kind in kinds.values()):
            return Dependence(on, kinds, certain=True)
        enough = math.log(SUSPICIOUS / max(1, len(kinds)))
        if suspected is None and any(log_chance(kind, whole(kinds)) <= enough for kind in kinds.values()):
            suspected = Dependence(on, kinds, certain=False)
    return suspected


def _partitions(evidence: Evidence, alpha: float) -> Iterator[tuple[str, Mapping[str, Covered], float]]:
    counts = evidence.counts
    agreed = Covered(counts.labelled_agreed, counts.agreed * counts.label_unit)
    differ = Covered(counts.labelled_disagreed, (counts.compared - counts.agreed) * counts.label_unit)
    yield "whether both models agree", {"agreements": agreed, "disagreements": differ}, alpha / 4
    many = len(evidence.by_live)
    yield "the live prediction", evidence.by_live, alpha / 2 / max(1, many * (many + 1))


def whole(kinds: Mapping[str, Covered]) -> Covered:
    """All kinds together."""
    return Covered(sum(kind.labelled for kind in kinds.values()), sum(kind.compared for kind in kinds.values()))


def shown(kind: Covered, all_kinds: Covered, looks: int, alpha: float) -> bool:
    """Whether one kind of request has been shown to have its label more often, or less often, than the others.

    If labels have nothing to do with the kind, then given which requests have theirs, the labelled ones of the kind
    are a draw without replacement. Each look is tested at `alpha / (looks (looks + 1))`, where `looks` grows with every
    comparison and every label, so that no two looks with other counts share theirs; all of them sum to alpha.
    """
    return looks > 0 and log_chance(kind, all_kinds) <= math.log(alpha) - math.log(looks) - math.log(looks + 1)


def log_chance(kind: Covered, all_kinds: Covered) -> float:
    """The logarithm of the chance that labels come so unevenly, to one side or the other, if they depend on nothing."""
    others = Covered(all_kinds.labelled - kind.labelled, all_kinds.compared - kind.compared)
    if not (0 <= kind.labelled <= kind.compared and 0 <= others.labelled <= others.compared):
        return 0.0  # labels are ahead of comparisons for a moment
    return min(0.0, math.log(2) + min(log_tail(kind, others), log_tail(others, kind)))


def log_tail(kind: Covered, others: Covered) -> float:
    """At least the logarithm of the chance of so many labelled ones of a kind, or more, in a draw without replacement.

    From one count to the next the hypergeometric probabilities shrink by a factor that only gets smaller, so the tail
    is at most a geometric series.

    >>> round(math.exp(log_tail(Covered(5, 5), Covered(0, 5))), 6)  # one of 252 draws
    0.003968
    """
    k, part, drawn, rest = kind.labelled, kind.compared, kind.labelled + others.labelled, others.compared
    here = _log_choose(part, k) + _log_choose(rest, drawn - k) - _log_choose(part + rest, drawn)
    factor = (part - k) * (drawn - k) / ((k + 1) * (rest - drawn + k + 1))
    return min(0.0, here - math.log1p(-factor)) if factor < 1 else 0.0


def _log_choose(n: float, k: float) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def unknown(evidence: Evidence, counts: Counts) -> tuple[float, float]:
    """Of how many answers it is unknown which model was right, and out of how many.

    Where models that agree are right or wrong together, only disagreements without a label.

    Args:
        evidence: Says whether that is so.
        counts: Of the whole trial or a segment.
    """
    compared = max(counts.compared * counts.label_unit, counts.paired)
    if evidence.exact:
        missing = (counts.compared - counts.agreed) * counts.label_unit - counts.labelled_disagreed
    else:
        missing = compared - counts.paired
    return max(0.0, min(missing, compared - counts.shadow_only - counts.live_only)), compared


def coverage(found: Dependence, *, allowed: bool) -> Criterion:
    """The condition that names it.

    Args:
        found: What labels depend on.
        allowed: Whether everything that rests on labels holds, whatever the missing ones would be.
    """
    shares = {name: min(1.0, kind.labelled / kind.compared) for name, kind in found.kinds.items() if kind.compared}
    all_of_them = whole(found.kinds)
    value = min(1.0, all_of_them.labelled / all_of_them.compared)
    few, many = min(shares, key=lambda name: shares[name]), max(shares, key=lambda name: shares[name])
    depends = "depends" if found.certain else "seems to depend"
    note = (
        f"Whether a request has its label {depends} on {found.on}: {shares[few]:.1%} of {few} have it, "
        f"{shares[many]:.1%} of {many}. Intervals of what rests on labels allow for whatever the missing ones may be."
    )
    return Criterion(
        "coverage",
        value,
        shares[few],
        shares[many],
        1.0,
        "holds" if allowed else "open",
        note,
        int(all_of_them.compared),
    )
