"""What the gate says at every look of many trials, and what the usual tests of a fixed size would say there.

What comes in are counts as arrays; what goes out are two arrays of yes and no. The gate's rule is `decide` written for
arrays, from the same wealth functions: the rates by searching, for each look, how many errors decide (the wealth is
monotone in them), the differences only where the count leans that way (no bet wins on the other side). `agrees` holds
it against `decide` itself.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gate.traffic import ERROR_LIMIT, MARGIN, SEGMENTS, Array, Seen
from numpy.typing import NDArray
from scipy import special

from shadowbus.settings import GateSettings
from shadowbus.verdict.criteria.accuracy import SEEMS
from shadowbus.verdict.gate import Counts, Evidence, decide
from shadowbus.verdict.sequential.mixture import Mixture
from shadowbus.verdict.sequential.paired import paired_wealth, stakes
from shadowbus.verdict.sequential.rate import ABOVE, BELOW, rate_wealth

GATE = GateSettings(alpha=0.05, min_requests=500, max_error_rate=ERROR_LIMIT, accuracy_margin=MARGIN)
HOLDS, FAILS = GATE.alpha, GATE.alpha / 3
"""Alpha to show that a criterion holds, and that it fails: errors, accuracy and the guard share it."""

GUARD = FAILS / (SEGMENTS * (SEGMENTS + 1))
FEWEST = 30
"""Labels before the usual test of a difference is looked at."""

Answers = NDArray[np.bool_]
BLOCK = 4_096


@dataclass(frozen=True, slots=True)
class Said:
    """Where PROMOTE and SEND BACK are said; both of shape (trials, looks)."""

    promote: Answers
    send_back: Answers


Rule = Callable[[Seen], Said]


def enough_errors(requests: Array, alternatives: Mixture, alpha: float) -> Array:
    """For each look, the number of errors that decides: the most for `BELOW` (-1: none does), the fewest for `ABOVE`.

    Args:
        requests: Shape (looks,), ascending.
        alternatives: What is bet on.
        alpha: The chance of being wrong.
    """
    over = alternatives is ABOVE
    no, yes = (np.zeros_like(requests), requests + 1) if over else (np.ceil(ERROR_LIMIT * requests), -(requests**0))
    while np.any(abs(yes - no) > 1):
        middle = np.floor((no + yes) / 2)
        shown = rate_wealth(middle, requests, ERROR_LIMIT, alternatives) >= -math.log(alpha)
        yes, no = np.where(shown, middle, yes), np.where(shown, no, middle)
    return yes


def shown_above(up: Array, down: Array, labels: Array, limit: float, alpha: float) -> Answers:
    """Where a difference is shown to be above a limit; all arrays of one shape."""
    shown = np.zeros(up.shape, bool)
    leaning = np.flatnonzero(up - down > limit * labels)
    bets, flat = stakes(GATE.accuracy_margin or MARGIN), shown.reshape(-1)
    ups, downs, alls = up.reshape(-1), down.reshape(-1), labels.reshape(-1)
    for start in range(0, len(leaning), BLOCK):
        here = leaning[start : start + BLOCK]
        flat[here] = paired_wealth(ups[here], downs[here], alls[here], limit, bets) >= -math.log(alpha)
    return shown


def gate(seen: Seen) -> Said:
    """What `decide` says."""
    up, down, labels = seen.up.sum(axis=2), seen.down.sum(axis=2), seen.labels.sum(axis=2)
    back = seen.errors >= enough_errors(seen.requests, ABOVE, FAILS)
    back |= shown_above(down, up, labels, MARGIN, FAILS)
    appeared = (seen.labels > 0).sum(axis=2)
    guards = shown_above(seen.down, seen.up, seen.labels, MARGIN, GUARD) if appeared.all() else _guards(seen, appeared)
    back |= guards.any(axis=2)
    promote = seen.errors <= enough_errors(seen.requests, BELOW, HOLDS)
    promote &= shown_above(up, down, labels, -MARGIN, HOLDS) & (seen.requests >= GATE.min_requests)
    promote &= ~shown_above(seen.down, seen.up, seen.labels, MARGIN, SEEMS).any(axis=2)
    return Said(promote & ~back, back)


def proving(seen: Seen) -> Said:
    """The same with `prove_segments`."""
    said = gate(seen)
    shown = shown_above(seen.up, seen.down, seen.labels, -MARGIN, HOLDS) | (seen.labels == 0)
    return Said(said.promote & shown.all(axis=2), said.send_back)


def _guards(seen: Seen, appeared: NDArray[np.int_]) -> Answers:
    """The guard while not every segment has had a label: of `k` that have, each is tested at `1 / (k (k + 1))`."""
    shown = np.zeros(seen.up.shape, bool)
    for count in range(1, SEGMENTS + 1):
        here = appeared == count
        shown[here] = shown_above(
            seen.down[here], seen.up[here], seen.labels[here], MARGIN, FAILS / (count * (count + 1))
        )
    return shown


def usual(seen: Seen) -> Said:
    """One-sided tests of a fixed size, at the same limits and alphas: exact binomial, and z for the difference."""

    def score(up: Array, down: Array, labels: Array) -> Array:
        mean = (up - down) / np.maximum(labels, 1)
        spread = np.sqrt(np.maximum((up + down) / np.maximum(labels, 1) - mean * mean, 1e-12) / np.maximum(labels, 1))
        return np.where(labels >= FEWEST, (mean + MARGIN) / spread, 0.0)

    whole = score(seen.up.sum(axis=2), seen.down.sum(axis=2), seen.labels.sum(axis=2))
    parts = score(seen.up, seen.down, seen.labels).min(axis=2)
    some = np.maximum(seen.errors, 1)
    back = (seen.errors > 0) & (special.bdtrc(some - 1, seen.requests.astype(int), ERROR_LIMIT) <= FAILS)
    back |= (whole <= special.ndtri(FAILS)) | (parts <= special.ndtri(FAILS / SEGMENTS))
    late = seen.requests >= GATE.min_requests
    sound = special.bdtr(seen.errors, seen.requests.astype(int), ERROR_LIMIT) <= HOLDS
    return Said(sound & (whole >= -special.ndtri(HOLDS)) & late & ~back, back & late)


def agrees(seen: Seen, said: Said, trial: int, look: int) -> bool:
    """Whether `decide` says the same of one trial at one look."""
    parts = np.stack([seen.up, seen.down, seen.labels], axis=-1)[trial, look].tolist()
    up, down, labels = np.sum(parts, axis=0).tolist()
    whole = _counts(up, down, labels, requests=seen.requests[look], errors=seen.errors[trial, look])
    evidence = Evidence("trial", whole, {f"s={n}": _counts(*part) for n, part in enumerate(parts) if part[2]})
    said_here = "PROMOTE" if said.promote[trial, look] else "SEND_BACK" if said.send_back[trial, look] else ""
    return decide(evidence, GATE).verdict == (said_here or "KEEP_WATCHING")


def _counts(up: float, down: float, labels: float, requests: float | None = None, errors: float = 0.0) -> Counts:
    asked = labels if requests is None else requests
    return Counts(
        comparisons=int(asked),
        asked=asked,
        shadow_errors=errors,
        labels=int(labels),
        both_right=labels - up - down,
        shadow_only=up,
        live_only=down,
    )
