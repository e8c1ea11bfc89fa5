"""What is done to whom and when: a list that follows from a seed and a plan alone, so that it can be had again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

SLOTS = 4
"""How many replay workers may share the first shadow at most; at least two always do, or are about to."""

FEWEST = 2


@dataclass(frozen=True, slots=True)
class Event:
    """One deed: at how many seconds, what, and to whom."""

    at: float
    deed: str
    whom: str

    def __str__(self) -> str:
        return f"{self.at:7.2f} s  {self.deed} {self.whom}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round is made of.

    Attributes:
        seconds: How long the traffic lasts, and what is done to it.
        pause: Seconds between two deeds to workers, from and to.
        asleep: For how long a worker sleeps, from and to.
        others: Workers besides those that share the first shadow: they are killed too.
        brokers: How many there are.
        outages: How often one of them is killed and started again.
        down: For how long a broker is away, from and to.
    """

    seconds: float
    pause: tuple[float, float]
    asleep: tuple[float, float]
    others: tuple[str, ...]
    brokers: int
    outages: int
    down: tuple[float, float]


def schedule(seed: int, plan: Plan) -> list[Event]:
    """Every event of a round, in order.

    >>> plan = Plan(30.0, (2.0, 4.0), (8.0, 9.0), ("judge-0",), 1, 1, (2.0, 3.0))
    >>> schedule(7, plan) == schedule(7, plan), schedule(7, plan) == schedule(8, plan)
    (True, False)
    >>> {event.deed for event in schedule(7, plan)} >= {"kill", "start", "kill the model of", "put to sleep", "add"}
    True
    """
    dice = random.Random(seed)
    events = [*_outages(dice, plan), *_deeds(dice, plan)]
    return sorted(events, key=lambda event: event.at)


def _outages(dice: random.Random, plan: Plan) -> Iterator[Event]:
    each = plan.seconds / max(1, plan.outages)
    for number in range(plan.outages):
        at = each * (number + dice.uniform(0.2, 0.4))
        node = f"broker-{dice.randint(1, plan.brokers)}"
        yield Event(at, "kill", node)
        yield Event(at + dice.uniform(*plan.down), "start", node)


def _deeds(dice: random.Random, plan: Plan) -> Iterator[Event]:
    """Deeds to workers; every kind once, in some order, and then as the dice fall."""
    present = list(range(FEWEST + 1))
    asleep_until = dict.fromkeys(range(SLOTS), 0.0)
    kinds = ["kill", "kill the model of", "kill the fork server of", "put to sleep", "add", "remove", "kill another"]
    weights = [40, 10, 5, 10, 12, 12, 11]
    first = dice.sample(kinds, len(kinds))
    at = dice.uniform(*plan.pause)
    while at < plan.seconds:
        kind = first.pop() if first else dice.choices(kinds, weights)[0]
        awake = [slot for slot in present if asleep_until[slot] < at] or present
        slot = dice.choice(awake)
        if kind == "kill":
            yield Event(at, "kill", f"replay-{slot}")
            yield Event(at + dice.uniform(0.0, 4.0), "start", f"replay-{slot}")
        elif kind.startswith("kill the "):
            yield Event(at, kind, f"replay-{slot}")
        elif kind == "put to sleep":
            asleep_until[slot] = at + dice.uniform(*plan.asleep)
            yield Event(at, kind, f"replay-{slot}")
            yield Event(asleep_until[slot], "wake", f"replay-{slot}")
        elif kind == "add" and len(present) < SLOTS:
            fresh = dice.choice([slot for slot in range(SLOTS) if slot not in present])
            present.append(fresh)
            yield Event(at, "add", f"replay-{fresh}")
        elif kind == "remove" and len(present) > FEWEST:
            present.remove(slot)
            yield Event(at, "remove", f"replay-{slot}")
        elif kind == "kill another":
            other = dice.choice(plan.others)
            yield Event(at, "kill", other)
            yield Event(at + dice.uniform(0.0, 4.0), "start", other)
        at += dice.uniform(*plan.pause)
