"""The results as a page."""

from gate.methods import ALPHA, Answer
from gate.rules import GATE
from gate.traffic import BATCH, ERROR_LIMIT, MARGIN, SEGMENTS
from gate.wrong import Row

AT_MOST = 1.25


def page(results: dict[str, object], wrong: list[Row], sized: list[Answer], compared: list[Answer]) -> str:
    """Everything, in Markdown."""
    return "\n\n".join(
        [
            "# The gate, simulated",
            f"{results['trials']:,} trials a line, seed {results['seed']}; {results['cpu_seconds']} s of one core, "
            f"{results['cpu']}. "
            "Written by `make bench-gate`.",
            "## How often it is wrong",
            f"A look after every {BATCH} requests, up to {BATCH * _int(results['looks']):,}; nobody stops, and a "
            f"verdict that is false at any look counts. Errors at most {ERROR_LIMIT:.0%}, margin {MARGIN:.0%}, "
            f"{SEGMENTS} guarded segments, alpha {GATE.alpha:.0%}, no PROMOTE, and of the usual tests no verdict, "
            f"before {GATE.min_requests} requests. *Usual*: one-sided tests of a fixed size with the same limits and "
            "alphas, at the same looks. A verdict is false when it contradicts what could be expected of the requests "
            "*so far*; -: it never does. Median: requests until the gate says what is right in the long run.",
            _table(
                "traffic | false PROMOTE: gate | usual | false SEND BACK: gate | usual | right | median",
                [_wrong(ours, theirs) for ours, theirs in zip(wrong[::3], wrong[1::3], strict=True)],
            ),
            _long_run(wrong),
            "## How long it takes",
            "For each statistic, at the effect for which the usual test with the same alpha "
            f"({ALPHA:.0%}) and 80 % power is sized: the median number of samples to the right answer, with a look "
            f"after every hundredth of that size. Wanted: at most {AT_MOST} times. The usual tests are the exact "
            "binomial one, the exact one of wins minus losses with a known share apart, and z.",
            _table(
                "statistic | effect | usual test | gate, median | times",
                [(one.statistic, one.effect, f"{one.size:,}", _count(one.median), _times(one.ratio)) for one in sized],
            ),
            "## Which method",
            f"At the limit, with a look after every 100 samples up to 100,000: the share of trials in which a method "
            f"is ever wrong (valid: at most {ALPHA:.0%}, and chance). At the effect: samples as above. Bold: used. "
            "*Learned in order* bets need every observation in its order, which merged counts do not have.",
            _table(
                "statistic | effect | method | false alarms | times the usual test",
                [
                    (
                        one.statistic,
                        one.effect,
                        f"**{one.method}**" if one.chosen else one.method,
                        _share(one.false_alarms),
                        _times(one.ratio),
                    )
                    for one in compared
                ],
            ),
            "",
        ]
    )


def _long_run(wrong: list[Row]) -> str:
    """What the promise leaves open, with its figures."""
    rows = [row for row in wrong if row.rule == "gate" and row.traffic.startswith("autocorrelated: ")]
    found = {(row.rule, row.traffic): row for row in wrong}
    segment = "one segment 5 % worse, equal on the whole"
    first, proven = found["gate", segment], found["proving", segment]
    equal, longer = found["gate", "equal models"], found["proving", "equal models"]
    return (
        "The promise is about the traffic so far. Held against the long run instead, where requests resemble the ones "
        "before them and the shadow is slightly worse, PROMOTE is said at some look, and at the last one, in "
        + "; ".join(
            f"{row.promote:.1%} and {row.promote_last:.1%} "
            f"({row.traffic.removeprefix('autocorrelated: ').removesuffix(', slightly worse')})"
            for row in rows
            if row.traffic.endswith("slightly worse")
        )
        + ". A segment that is worse holds PROMOTE back only once it seems so: with one of four segments 5 % worse and "
        f"no difference on the whole, PROMOTE comes first in {first.promote_first:.1%}, and SEND BACK sooner or later "
        f"in {first.send_back:.1%}. With `prove_segments` it comes first in {proven.promote_first:.1%}, and equal "
        f"models take a median of {_count(longer.median)} requests where they took {_count(equal.median)}."
    )


def _wrong(ours: Row, theirs: Row) -> tuple[str, ...]:
    shares = (ours.false_promote, theirs.false_promote, ours.false_send_back, theirs.false_send_back)
    right = "PROMOTE" if ours.promotes else "SEND BACK"
    said = ours.promote if ours.promotes else ours.send_back
    return ours.traffic, *(_share(share) for share in shares), f"{right}, said in {said:.1%}", _count(ours.median)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _count(count: float | None) -> str:
    return "-" if count is None else f"{count:,.0f}"


def _times(ratio: float | None) -> str:
    return "never within 5" if ratio is None else f"{ratio:.2f}"


def _int(value: object) -> int:
    return int(str(value))


def _table(head: str, rows: list[tuple[str, ...]]) -> str:
    bar = "|".join(["---"] * (head.count("|") + 1))
    return "\n".join([f"| {head} |", f"|{bar}|", *(f"| {' | '.join(row)} |" for row in rows)])
