"""How often is the gate wrong when people look after every batch, and how long does it take?

Simulates trials whose truth is known, looks after every 100 requests until there is a verdict or 20,000 requests have
passed, and counts the verdicts that contradict the truth. Beside the gate, the same people look at the usual one-sided
fixed-size tests with the same limits and the same alphas. Writes `results.md` beside this file.

    python benchmarks/gate/simulate.py --runs 2000 --seed 1
"""

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special, stats

from shadowbus.settings import GateSettings
from shadowbus.verdict.gate import Counts, Evidence, decide
from shadowbus.verdict.sequential import (
    needed,
    paired_evidence_above,
    rate_evidence_above,
    rate_evidence_below,
)

LOOKS, BATCH, SEGMENTS = 200, 100, 4
GATE = GateSettings(alpha=0.05, min_requests=500, max_error_rate=0.01, accuracy_margin=0.01)
HOLDS, FAILS = GATE.alpha, GATE.alpha / 3  # errors, accuracy, guard
GUARD = FAILS / (SEGMENTS * (SEGMENTS + 1))
ERROR_LIMIT, LEAST = 0.01, -0.01


@dataclass(frozen=True, slots=True)
class Truth:
    """One kind of shadow: its error rate, its accuracy minus the live one, and the share of discordant labels."""

    name: str
    errors: float
    better: float
    apart: float
    right: str

    def shares(self) -> list[float]:
        """Of labels: only the shadow right, only the live model right, both or neither."""
        return [(self.apart + self.better) / 2, (self.apart - self.better) / 2, 1 - self.apart]


TRUTHS = (
    Truth("equal", 0.0, 0.0, 0.06, "PROMOTE"),
    Truth("worse by exactly the margin", 0.0, -0.01, 0.06, "PROMOTE"),
    Truth("worse by a little more than the margin", 0.0, -0.0105, 0.06, "SEND_BACK"),
    Truth("errors a little over the limit, 4 % better", 0.0105, 0.04, 0.14, "SEND_BACK"),
    Truth("errors exactly at the limit, 4 % better", 0.01, 0.04, 0.14, "PROMOTE"),
    Truth("4 % better", 0.001, 0.04, 0.14, "PROMOTE"),
    Truth("10 % worse", 0.001, -0.10, 0.20, "SEND_BACK"),
    Truth("errors twice the limit", 0.02, 0.0, 0.06, "SEND_BACK"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """Cumulative counts at one look; `parts` are (shadow only, live only, labels) of each segment."""

    requests: int
    errors: int
    parts: tuple[tuple[int, int, int], ...]

    def whole(self) -> tuple[int, int, int]:
        """The same three counts over all segments."""
        ours, theirs, labels = (sum(column) for column in zip(*self.parts, strict=True))
        return ours, theirs, labels


Rule = Callable[[Look], str]


def looks(truth: Truth, random: np.random.Generator) -> list[Look]:
    """One simulated trial, every segment alike, each request with its label."""
    errors = random.binomial(BATCH, truth.errors, LOOKS).cumsum().tolist()
    share = BATCH // SEGMENTS
    parts = random.multinomial(share, truth.shares(), (LOOKS, SEGMENTS)).cumsum(axis=0).tolist()
    return [
        Look(BATCH * n, errors[n - 1], tuple((up, down, share * n) for up, down, _ in parts[n - 1]))
        for n in range(1, LOOKS + 1)
    ]


def sequential_rule(look: Look) -> str:
    """What the gate says, from the evidence at the limits only (`row` compares it with `decide`)."""
    ours, theirs, labels = look.whole()
    if rate_evidence_above(look.errors, look.requests, ERROR_LIMIT) >= -math.log(FAILS):
        return "SEND_BACK"
    if paired_evidence_above(theirs, ours, labels, -LEAST) >= -math.log(FAILS):
        return "SEND_BACK"
    if any(paired_evidence_above(down, up, n, -LEAST) >= -math.log(GUARD) for up, down, n in look.parts):
        return "SEND_BACK"
    sound = rate_evidence_below(look.errors, look.requests, ERROR_LIMIT) >= -math.log(HOLDS)
    near = sound and paired_evidence_above(ours, theirs, labels, LEAST) >= -math.log(HOLDS)
    return "PROMOTE" if near and look.requests >= GATE.min_requests else "KEEP_WATCHING"


def gate_rule(look: Look) -> str:
    """What `decide` says."""
    counted = [_counts(*part) for part in look.parts]
    whole = Counts(look.requests, look.requests, look.errors, *_cells(*look.whole()))
    return decide(Evidence("trial", whole, {f"s={n}": part for n, part in enumerate(counted)}), GATE).verdict


def _cells(ours: int, theirs: int, labels: int) -> tuple[int, ...]:
    return labels, labels, 0, 0, labels, labels - ours - theirs, ours, theirs, 0


def _counts(ours: int, theirs: int, labels: int) -> Counts:
    return Counts(labels, labels, 0, *_cells(ours, theirs, labels))


def fixed_rule(look: Look) -> str:
    """The same rule from fixed-size one-sided tests: exact binomial for errors, z for the paired difference."""

    def score(ours: int, theirs: int, labels: int) -> float:
        mean = (ours - theirs) / labels
        spread = math.sqrt(max((ours + theirs) / labels - mean * mean, 1e-12) / labels)
        return (mean - LEAST) / spread

    if look.requests < GATE.min_requests:
        return "KEEP_WATCHING"
    if look.errors and special.bdtrc(look.errors - 1, look.requests, ERROR_LIMIT) <= FAILS:
        return "SEND_BACK"
    worst = min(score(*part) for part in look.parts)
    if score(*look.whole()) <= special.ndtri(FAILS) or worst <= special.ndtri(FAILS / SEGMENTS):
        return "SEND_BACK"
    sound = special.bdtr(look.errors, look.requests, ERROR_LIMIT) <= HOLDS
    near = score(*look.whole()) >= -special.ndtri(HOLDS)
    return "PROMOTE" if sound and near else "KEEP_WATCHING"


def first(rule: Rule, trial: list[Look]) -> tuple[str, int]:
    """The first verdict, and after how many requests."""
    for look in trial:
        if (verdict := rule(look)) != "KEEP_WATCHING":
            return verdict, look.requests
    return "KEEP_WATCHING", trial[-1].requests


def fixed_size(truth: Truth) -> int:
    """Requests that tests of a size fixed beforehand take for the right verdict with 80 % power, looked at once."""
    alpha = HOLDS if truth.right == "PROMOTE" else FAILS
    power = float(stats.norm.ppf(0.8))
    sizes = []
    for value, limit, limit_spread, spread in (
        (truth.errors, ERROR_LIMIT, ERROR_LIMIT * (1 - ERROR_LIMIT), truth.errors * (1 - truth.errors)),
        (truth.better, LEAST, truth.apart - LEAST**2, truth.apart - truth.better**2),
    ):
        good = (value <= limit) if limit == ERROR_LIMIT else (value >= limit)
        if value != limit and good == (truth.right == "PROMOTE"):
            root = stats.norm.isf(alpha) * math.sqrt(limit_spread) + power * math.sqrt(spread)
            sizes.append(math.ceil((root / (value - limit)) ** 2))
    return (max if truth.right == "PROMOTE" else min)(sizes)


def row(truth: Truth, runs: int, random: np.random.Generator) -> str:
    """One line of the table; the first trials are also checked against `decide` itself."""
    found: dict[str, list[tuple[str, int]]] = {"gate": [], "fixed": []}
    for run in range(runs):
        trial = looks(truth, random)
        found["gate"].append(first(sequential_rule, trial))
        found["fixed"].append(first(fixed_rule, trial))
        if run < 2:
            assert all(sequential_rule(look) == gate_rule(look) for look in trial[::11])
    wrong = "SEND_BACK" if truth.right == "PROMOTE" else "PROMOTE"
    share = {rule: sum(verdict == wrong for verdict, _ in ends) / runs for rule, ends in found.items()}
    rightly = [after for verdict, after in found["gate"] if verdict == truth.right]
    median = f"{float(np.median(rightly)):,.0f}" if len(rightly) > runs / 2 else "-"
    size = f"{fixed_size(truth):,}" if median != "-" else "-"
    return (
        f"| {truth.name} | {wrong.replace('_', ' ')} | {share['gate']:.1%} | {share['fixed']:.1%} "
        f"| {len(rightly) / runs:.1%} | {median} | {size} |"
    )


def quiet_rows() -> list[str]:
    """How many requests without one error it takes to show each limit."""
    lines = []
    for limit in (0.001, 0.002, 0.01, 0.05):
        more = needed(0, lambda n, limit=limit: rate_evidence_below(0, n, limit) >= -math.log(HOLDS))  # type: ignore[misc]
        lines.append(f"| {limit:.1%} | {more:,} | {math.ceil(math.log(HOLDS) / math.log1p(-limit)):,} |")
    return lines


def report(runs: int, seed: int) -> str:
    """The whole page."""
    random = np.random.default_rng(seed)
    head = (
        f"# The gate, simulated\n\n{runs:,} trials a line, seed {seed}; a look after every {BATCH} requests, up to "
        f"{LOOKS * BATCH:,}. Errors at most 1 %, accuracy margin 1 %, {SEGMENTS} guarded segments, alpha 5 %; "
        "no PROMOTE,\nand from the fixed-size tests nothing at all, before 500 requests. "
        "Written by `benchmarks/gate/simulate.py`.\n\n"
        "| truth | wrong verdict | gate | fixed-size tests, same looks | gate right | median requests | fixed size |\n"
        "|---|---|---|---|---|---|---|"
    )
    quiet = (
        "\n`gate right`: share with the right verdict within the looks. `fixed size`: requests of tests planned for "
        "one look with 80 % power.\n\nRequests without one error until the limit is shown to hold:\n\n"
        "| limit | gate | one look |\n|---|---|---|"
    )
    return "\n".join([head, *(row(truth, runs, random) for truth in TRUTHS), quiet, *quiet_rows(), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.md"))
    chosen = parser.parse_args()
    page = report(chosen.runs, chosen.seed)
    chosen.out.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
