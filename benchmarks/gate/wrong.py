"""How often is a rule wrong about a kind of traffic, when it is looked at after every batch?"""

from dataclasses import dataclass

import numpy as np
from gate import rules
from gate.rules import Answers, Rule, Said
from gate.traffic import Array, Seen, Traffic

CHUNK = 100


@dataclass(frozen=True, slots=True)
class Row:
    """Of one kind of traffic and one rule, as shares of the trials; None where that verdict was never false.

    `promotes`: PROMOTE is right in the long run.
    `false_promote`: PROMOTE was said at some look at which a criterion's truth so far was beyond its limit.
    `false_send_back`: SEND BACK was said at some look at which none was.
    `promote`, `send_back`: it was said at all. `promote_first`: it was said before any SEND BACK.
    `promote_last`: it was said at the last look.
    `median`: requests until the verdict that is right in the long run was first said; None where most never got it.
    """

    traffic: str
    rule: str
    promotes: bool
    trials: int
    false_promote: float | None
    false_send_back: float | None
    promote: float
    promote_first: float
    send_back: float
    promote_last: float
    median: float | None


def truly(seen: Seen) -> tuple[Answers, Answers]:
    """Where PROMOTE would be false, and where SEND BACK would be."""
    blocked = seen.erring | seen.worse
    return blocked, ~blocked & ~seen.worse_parts.any(axis=2)


def rows(traffic: Traffic, trials: int, looks: int, seed: int) -> list[Row]:
    """Simulate one kind of traffic, for the gate, with `prove_segments` too, and for the usual tests.

    Args:
        traffic: The kind.
        trials: How many, done in chunks.
        looks: Batches of each.
        seed: Where chance starts.

    Raises:
        RuntimeError: The rule for arrays says something else than `decide`.
    """
    random = np.random.default_rng(seed)
    kept: dict[str, list[Tally]] = {name: [] for name in RULES}
    for start in range(0, trials, CHUNK):
        seen = traffic.seen(random, min(CHUNK, trials - start), looks)
        for name, rule in RULES.items():
            said = rule(seen)
            kept[name].append(Tally.of(seen, said, traffic.right))
            if name == "gate" and not start:
                _check(seen, said)
    return [Tally.together(tallies).row(traffic, name) for name, tallies in kept.items()]


RULES: dict[str, Rule] = {"gate": rules.gate, "usual": rules.usual, "proving": rules.proving}


@dataclass(frozen=True, slots=True)
class Tally:
    """One value for each trial; what a row is made of. A look of infinity is never."""

    can: tuple[bool, bool]
    false_promote: Answers
    false_send_back: Answers
    promote: Array
    send_back: Array
    right: Array
    last: Answers

    @staticmethod
    def of(seen: Seen, said: Said, right: str) -> "Tally":
        """Of what was said of some trials."""
        never, no = truly(seen)
        promote, back = _first(seen, said.promote), _first(seen, said.send_back)
        return Tally(
            (bool(never.any()), bool(no.any())),
            np.any(said.promote & never, axis=1),
            np.any(said.send_back & no, axis=1),
            promote,
            back,
            promote if right == "PROMOTE" else back,
            said.promote[:, -1],
        )

    @staticmethod
    def together(tallies: "list[Tally]") -> "Tally":
        """Of all trials."""
        can = any(tally.can[0] for tally in tallies), any(tally.can[1] for tally in tallies)
        names = ("false_promote", "false_send_back", "promote", "send_back", "right", "last")
        return Tally(can, **{name: np.concatenate([getattr(tally, name) for tally in tallies]) for name in names})

    def row(self, traffic: Traffic, rule: str) -> Row:
        """As shares."""
        said, back = np.isfinite(self.promote), np.isfinite(self.send_back)
        median = float(np.median(self.right))
        return Row(
            traffic.name,
            rule,
            traffic.right == "PROMOTE",
            len(self.right),
            float(self.false_promote.mean()) if self.can[0] else None,
            float(self.false_send_back.mean()) if self.can[1] else None,
            float(said.mean()),
            float((self.promote < self.send_back).mean()),
            float(back.mean()),
            float(self.last.mean()),
            median if np.isfinite(median) else None,
        )


def _first(seen: Seen, where: Answers) -> Array:
    return np.where(where.any(axis=1), seen.requests[where.argmax(axis=1)], np.inf)


def _check(seen: Seen, said: Said) -> None:
    """Hold two trials against `decide`, at looks spread over all."""
    for trial in range(min(2, len(seen.errors))):
        for look in np.unique(np.geomspace(1, len(seen.requests), 12).astype(int) - 1):
            if not rules.agrees(seen, said, trial, int(look)):
                raise RuntimeError(f"The rule for arrays and `decide` differ: trial {trial}, look {look}.")
