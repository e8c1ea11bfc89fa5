"""What the gate looks at, from the merged totals of a trial, its books and its vitals. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from shadowbus.cutoff import latest
from shadowbus.records import Partial
from shadowbus.statistics.calibration_histogram import PARTS
from shadowbus.statistics.contingency_table import OTHER, ContingencyTable
from shadowbus.summary.labelled import RIGHT
from shadowbus.summary.resources import resources
from shadowbus.summary.view import asked_of, requests_of
from shadowbus.totals.definitions import LARGEST_SLOWDOWN, MetricDefinitions
from shadowbus.totals.key import ALL
from shadowbus.totals.noise_floor import NoiseFloor
from shadowbus.totals.reasons import ABOUT
from shadowbus.totals.totals import Totals
from shadowbus.trials import shadow_of
from shadowbus.verdict.counts import Bin, Covered, Learned, Rows, Vocabularies
from shadowbus.verdict.gate import Counts, Evidence

PLAIN = MetricDefinitions(1)
MOST_REASONS = 3
MIB = 1 << 20


def merged(partials: Iterable[Partial]) -> Totals:
    """The totals of all source partitions."""
    return Totals.union([Totals.from_record(partial.totals) for partial in partials])


def check_counts(totals: Totals) -> None:
    """Refuse totals whose counts contradict each other, from which any verdict could follow.

    Raises:
        ValueError: A part is larger than its whole, or less than nothing.
    """
    scaled = totals.scaled()
    asked, failed = asked_of(scaled)
    parts = {
        "agreed": (scaled["agreed"], scaled["agreed"] + scaled["disagreed"]),
        "failed": (failed, asked),
        "timed out": (scaled["shadow_timeout"], asked + scaled["stalled"] + scaled["left_out"]),
        "over budget": (scaled["over_budget"], scaled["latency_rows"]),
    }
    for name, (part, whole) in parts.items():
        if not 0 <= part <= whole and whole:
            raise ValueError(f"{part:g} of {whole:g} are {name}, and a part cannot be larger than its whole")
    for name in RIGHT:
        if scaled[name] < 0:
            raise ValueError(f"{scaled[name]:g} are {name}, and no count is less than nothing")


def noise_of(partials: Iterable[Partial]) -> NoiseFloor:
    """What all source partitions have counted of the control."""
    return sum((NoiseFloor.from_record(partial.noise) for partial in partials), NoiseFloor())


def counts_of(totals: Totals) -> Counts:
    """What the gate looks at: requests and labels as they were counted, all that rates are made of scaled."""
    scaled = totals.scaled()
    asked, failed = asked_of(scaled)
    agreed, heaviest = scaled["agreed"], totals.weights.heaviest
    return Counts(
        comparisons=requests_of(totals),
        before_it_ran=totals.count("stalled") + totals.count("left_out"),
        asked=asked,
        shadow_errors=failed,
        compared=agreed + scaled["disagreed"],
        agreed=agreed,
        latency_rows=scaled["latency_rows"],
        over_budget=scaled["over_budget"],
        labels=totals.count("labels"),
        both_right=scaled["both_right"],
        shadow_only=scaled["shadow_only"],
        live_only=scaled["live_only"],
        both_wrong=scaled["both_wrong"],
        loss_n=totals.loss.weight / heaviest,
        loss_mean=totals.loss.mean,
        loss_m2=totals.loss.m2 / heaviest,
        slowdown_n=totals.slowdown.n,
        slowdown_mean=totals.slowdown.mean,
        slowdown_m2=totals.slowdown.m2,
        value_n=totals.value.weight / heaviest,
        value_mean=totals.value.mean,
        value_m2=totals.value.m2 / heaviest,
        label_unit=totals.weights.heaviest_compared / heaviest,
        ours_apart=scaled["shadow_only"] * (lighter := heaviest / totals.weights.heaviest_apart),
        theirs_apart=scaled["live_only"] * lighter,
        labelled_apart=scaled["labelled_disagreed"] * lighter,
        labelled_agreed=scaled["labelled_agreed"],
        labelled_disagreed=scaled["labelled_disagreed"],
        requests_before=totals.count("trained_on"),
        labels_before=totals.count("labels_trained_on"),
    )


def evidence_of(
    trial: str,
    whole: Mapping[str, Totals],
    books: Mapping[str, Any],
    terms: MetricDefinitions = PLAIN,
    noise: NoiseFloor | None = None,
    vitals: Mapping[int, Mapping[str, Any]] | None = None,
) -> Evidence:
    """All that a decision rests on.

    Args:
        trial: Its name.
        whole: The totals of the whole trial, by segment.
        books: Its account books.
        terms: What it is counted by.
        noise: What was counted of the control; it matters where the terms name one.
        vitals: Replay's newest, by source partition.
    """
    totals, taken = whole.get(ALL, Totals()), resources(vitals or {})
    watched = totals.days.watched()
    alone = not terms.controls or shadow_of(trial) in terms.controls
    largest = taken.get("largest_bytes")
    return Evidence(
        trial,
        counts_of(totals),
        {name: counts_of(part) for name, part in sorted(whole.items()) if name != ALL},
        books.get("gap", 0),
        books.get("note", ""),
        first_ms=watched.first_ms if watched else None,
        last_ms=watched.last_ms if watched else None,
        idle_days=watched.idle_days if watched else 0,
        exact=terms.kind_of(trial) == "classes",
        rows=rows_of(totals),
        learned=learned_of(totals),
        vocabularies=vocabularies(totals, terms.same_classes(trial)),
        by_live=covered(totals),
        scores=bins(totals),
        value_reach=terms.reach,
        slowdown_reach=LARGEST_SLOWDOWN,
        floor=None if alone else (noise or NoiseFloor()).floor,
        cpu_ms_per_row=taken.get("cpu_ms_per_row"),
        memory_mb=largest / MIB if largest else None,
        measured_rows=int(taken.get("rows", 0)),
        measured_processes=taken.get("workers", 0),
        control=shadow_of(trial) in terms.controls,
        cutoff=None if shadow_of(trial) in terms.controls else latest(vitals or {}),
    )


def rows_of(totals: Totals) -> Rows:
    """What became of the records of a trial."""
    count, answered = totals.count, totals.count("compared") - totals.count("trained_on")
    early = count("stalled") + count("left_out")
    failed = count("shadow_errors") - count("stalled_failed") - count("left_out_failed")
    reasons = {about: tuple(totals.detailed.reasons.commonest(about)[:MOST_REASONS]) for about in ABOUT}
    return Rows(
        answered=answered,
        comparable=min(answered, max(count("agreed") + count("disagreed"), totals.distance.n)),
        others={name: amount for name, amount in totals.statuses.items() if name != "compared"},
        ran=max(0, requests_of(totals) - early - failed),
        unsettled_failed=count("unsettled_failed"),
        stalled=count("stalled"),
        stalled_failed=count("stalled_failed"),
        left_out=count("left_out"),
        reasons={about: found for about, found in reasons.items() if found},
    )


def learned_of(totals: Totals) -> Learned:
    """How often who was right before and after the bundle was made."""
    count, both = totals.count, totals.count("both_right")
    right, live = both + count("shadow_only"), both + count("live_only")
    return (
        Learned(
            before=count("before_judged"),
            right_before=count("before_right"),
            live_before=count("before_live_right"),
            after=right + count("live_only") + count("both_wrong") - count("early_judged"),
            right_after=right - count("early_right"),
            live_after=live - count("early_live_right"),
            counted=count("early_judged"),
        )
        if count("before_judged")
        else Learned()
    )


def vocabularies(totals: Totals, same: Mapping[str, str]) -> Vocabularies:
    """The classes that each side named, by the names they are taken for; none where more than are told apart."""
    details = totals.detailed
    sides = (_margin(details.confusion, 0), _margin(details.confusion, 1), _margin(details.live_truth, 0))
    live, shadow, labels = (
        () if OTHER in side else tuple(sorted({same.get(name, name) for name in side})) for side in sides
    )
    return Vocabularies(live, shadow, labels, details.confusion.total, details.live_truth.total)


def covered(totals: Totals) -> dict[str, Covered]:
    """Compared and labelled requests by what the live model answered; empty where it names no classes."""
    details, heaviest = totals.detailed, totals.weights.heaviest
    compared, labelled = _margin(details.confusion, 0), _margin(details.live_truth, 1)
    return {name: Covered(labelled.get(name, 0.0) / heaviest, compared[name] / heaviest) for name in sorted(compared)}


def _margin(table: ContingencyTable, axis: int) -> dict[str, float]:
    sums: dict[str, float] = {}
    for cell, weight in table.weights().items():
        sums[cell[axis]] = sums.get(cell[axis], 0.0) + weight
    return sums


def bins(totals: Totals) -> tuple[Bin, ...]:
    """The shadow's scores where labels came; empty where it has none."""
    parts = totals.detailed.shadow_scores.parts
    if parts is None:
        return ()
    sums = (parts[:, 1:] / totals.weights.heaviest).tolist()
    return tuple(Bin(at / PARTS, (at + 1) / PARTS, *row) for at, row in enumerate(sums) if row[0] > 0)
