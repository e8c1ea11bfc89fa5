"""Kinds of traffic whose truth is known, as cumulative counts of many simulated trials at every look.

A kind says, for each batch, how likely a shadow's error is and how much better it is in each segment, given all that
came before. The truth at a look is the average of that over the requests (or labels) so far: it is what the gate's
promise is about, and for traffic that neither drifts nor remembers it is simply the same number at every look.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

BATCH, SEGMENTS = 100, 4
ERROR_LIMIT, MARGIN = 0.01, 0.01
SLACK = 1e-9
"""A truth this close to a limit is at it, and at the limit a criterion holds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts so far, and whether the truth so far is beyond its limit.

    Shapes: `requests` is (looks,); `errors`, `erring` and `worse` are (trials, looks); `up` (labels that only the
    shadow got right), `down` (only the live model), `labels` and `worse_parts` are (trials, looks, segments).
    """

    requests: Array
    errors: Array
    up: Array
    down: Array
    labels: Array
    erring: NDArray[np.bool_]
    worse: NDArray[np.bool_]
    worse_parts: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chances:
    """What can be expected in each batch: shapes that fit (trials, looks) and (trials, looks, segments).

    `apart` is the share of labels that tell the models apart, where it is not the same everywhere.
    """

    errors: NDArray[np.floating]
    better: NDArray[np.floating]
    apart: NDArray[np.floating] | None = None


Course = Callable[[np.random.Generator, int, int], Chances]


@dataclass(frozen=True, slots=True)
class Traffic:
    """One kind of traffic.

    Args:
        name: As the table has it.
        right: The verdict that is right in the long run.
        course: From a source of chance, trials and looks: what can be expected.
        apart: The share of labels that tell the models apart.
        labelled: The share of requests that get a label.
        repeats: How often each label comes, one after the other; after the first the rest is no news.
    """

    name: str
    right: str
    course: Course
    apart: float = 0.06
    labelled: float = 1.0
    repeats: int = 1

    def seen(self, random: np.random.Generator, trials: int, looks: int) -> Seen:
        """Simulate trials."""
        chances = self.course(random, trials, looks)
        errors = random.binomial(BATCH, np.broadcast_to(chances.errors, (trials, looks))).astype(float)
        shape = (trials, looks, SEGMENTS)
        better = np.broadcast_to(chances.better, shape)
        labels = random.binomial(BATCH // SEGMENTS // self.repeats, self.labelled, shape)
        apart = np.broadcast_to(self.apart if chances.apart is None else chances.apart, shape)
        discordant = random.binomial(labels, apart)
        up = self.repeats * random.binomial(discordant, (1 + better / apart) / 2).astype(float)
        down, labels = self.repeats * discordant - up, self.repeats * labels
        expected = (labels * better + (self.repeats - 1) * (up - down)) / self.repeats
        requests = BATCH * np.arange(1.0, looks + 1)
        expected, known = expected.cumsum(axis=1), labels.cumsum(axis=1).astype(float)
        failing = np.broadcast_to(BATCH * chances.errors, (trials, looks)).cumsum(axis=1)
        return Seen(
            requests,
            errors.cumsum(axis=1),
            up.cumsum(axis=1),
            down.cumsum(axis=1),
            known,
            failing > (ERROR_LIMIT + SLACK) * requests,
            expected.sum(axis=2) < -(MARGIN + SLACK) * known.sum(axis=2),
            expected < -(MARGIN + SLACK) * known,
        )


def steady(errors: float, *better: float) -> Course:
    """The same at every look; `better` for all segments, or one for each."""

    def course(_: np.random.Generator, __: int, looks: int) -> Chances:
        return Chances(np.full((1, looks), errors), np.full((1, looks, len(better)), better))

    return course


def drifting(start: float, end: float) -> Course:
    """The difference moves evenly from one value to another."""

    def course(_: np.random.Generator, __: int, looks: int) -> Chances:
        return Chances(np.full((1, looks), 0.001), np.linspace(start, end, looks)[None, :, None])

    return course


def daily(middle: float, swing: float, days: int) -> Course:
    """The difference goes up and down evenly, every trial from its own time of day."""

    def course(random: np.random.Generator, trials: int, looks: int) -> Chances:
        turns = np.linspace(0, days, looks)[None, :] + random.random((trials, 1))
        return Chances(np.full((1, looks), 0.001), (middle + swing * np.sin(2 * np.pi * turns))[..., None])

    return course


def moods(middle: float, swing: float, batches: float) -> Course:
    """Two moods: in the good one the shadow is better by `swing` and fails seldom; in the bad one it is worse."""

    def course(random: np.random.Generator, trials: int, looks: int) -> Chances:
        bad = _turns(random, trials, looks, batches)
        return Chances(0.0005 + 0.005 * bad, (middle + swing * (1 - 2 * bad))[..., None])

    return course


def hardness(better: float, apart: tuple[float, float], batches: float) -> Course:
    """As `moods`, but what changes is how hard requests are: how often just one model is right, not which one."""

    def course(random: np.random.Generator, trials: int, looks: int) -> Chances:
        bad = _turns(random, trials, looks, batches)
        return Chances(0.0005 + 0.005 * bad, np.full((1, 1, 1), better), np.where(bad, *apart)[..., None])

    return course


def _turns(random: np.random.Generator, trials: int, looks: int, batches: float) -> NDArray[np.int_]:
    """A Markov chain of 0 and 1, each of which lasts so many batches on average."""
    turned = random.random((trials, looks)) < 1 / batches
    turned[:, 0] = random.random(trials) < 0.5
    state: NDArray[np.int_] = turned.cumsum(axis=1) % 2
    return state


SLIGHTLY = -1.05 * MARGIN
"""Worse by a little more than the margin."""

KINDS = (
    Traffic("equal models", "PROMOTE", steady(0.001, 0.0)),
    Traffic("worse by exactly the margin", "PROMOTE", steady(0.001, -MARGIN)),
    Traffic("slightly worse than the margin", "SEND BACK", steady(0.001, SLIGHTLY)),
    Traffic("errors exactly at the limit, 4 % better", "PROMOTE", steady(ERROR_LIMIT, 0.04), 0.14),
    Traffic("errors slightly over the limit, 4 % better", "SEND BACK", steady(1.05 * ERROR_LIMIT, 0.04), 0.14),
    Traffic("4 % better", "PROMOTE", steady(0.001, 0.04), 0.14),
    Traffic("10 % worse", "SEND BACK", steady(0.001, -0.1), 0.2),
    Traffic("errors twice the limit", "SEND BACK", steady(2 * ERROR_LIMIT, 0.0)),
    Traffic("one segment worse by exactly the margin", "PROMOTE", steady(0.001, -MARGIN, 0, 0, 0)),
    Traffic("every segment worse by exactly the margin, 30 % apart", "PROMOTE", steady(0.001, -MARGIN), 0.3),
    Traffic("one segment 4.2 % worse, so all slightly worse", "SEND BACK", steady(0.001, 4 * SLIGHTLY, 0, 0, 0)),
    Traffic("one segment 5 % worse, equal on the whole", "SEND BACK", steady(0.001, -0.05, *[0.05 / 3] * 3), 0.1),
    Traffic("drifting from better down to the margin so far", "PROMOTE", drifting(0.02, -0.04)),
    Traffic("drifting from worse up to the margin so far", "SEND BACK", drifting(-0.03, 0.0095)),
    Traffic("drifting from better to worse", "SEND BACK", drifting(0.01, -0.055)),
    Traffic("autocorrelated: hard hours, slightly worse", "SEND BACK", hardness(SLIGHTLY, (0.12, 0.02), 20)),
    Traffic("autocorrelated: hard hours, worse by the margin", "PROMOTE", hardness(-MARGIN, (0.12, 0.02), 20)),
    Traffic("autocorrelated: day and night, slightly worse", "SEND BACK", daily(SLIGHTLY, 0.03, 7)),
    Traffic("autocorrelated: moods of 500 requests, slightly worse", "SEND BACK", moods(SLIGHTLY, 0.04, 5)),
    Traffic("autocorrelated: moods of 10,000 requests, slightly worse", "SEND BACK", moods(SLIGHTLY, 0.04, 100)),
    Traffic("autocorrelated: each request 5 times, slightly worse", "SEND BACK", steady(0.001, SLIGHTLY), repeats=5),
    Traffic("1 % labels, equal models", "PROMOTE", steady(0.001, 0.0), labelled=0.01),
    Traffic("1 % labels, worse by exactly the margin", "PROMOTE", steady(0.001, -MARGIN), labelled=0.01),
    Traffic("1 % labels, slightly worse", "SEND BACK", steady(0.001, SLIGHTLY), labelled=0.01),
    Traffic("1 % labels, 10 % worse", "SEND BACK", steady(0.001, -0.1), 0.2, labelled=0.01),
)
