"""Two backlogs: a long one of whole pairs, and one whose inputs are an hour apart.

Both say how much memory the worker and its model take at most in each quarter of the work: flat, if nothing grows with
the length of a backlog. Of the second, every pair has to be compared, and there are more of them than may wait in
memory.
"""

import time
from collections.abc import Callable
from itertools import pairwise

from bench import Bench
from measure import Measurement
from outputs import WrongOutputError
from processes import CandidateFailedError, say
from stream import Stream, filled_stream, open_stream
from usage import Sample
from workload import make_producer, pairs_of, send

HOUR_MS = 3_600_000
MAX_PENDING = 200_000


def backlog(bench: Bench, *, pairs: int, apart_pairs: int) -> dict[str, object]:
    """Work both off.

    Args:
        bench: Where.
        pairs: Of the long one.
        apart_pairs: Of the one whose inputs are an hour apart; more than `MAX_PENDING` for it to mean anything.
    """
    say(f"backlog of {pairs:,} pairs: producing")
    long = _worked_off(bench, filled_stream(bench.bootstrap, bench.name("backlog"), bench.bundle, pairs), pairs)
    say(f"backlog of {apart_pairs:,} pairs whose requests are stamped an hour after the predictions: producing")
    apart = _worked_off(bench, _hour_apart(bench, apart_pairs), apart_pairs, seconds=240)
    return {"whole": long, "hour_apart": {"max_pending": MAX_PENDING, **apart}}


def _worked_off(bench: Bench, stream: Stream, pairs: int, seconds: float = 900) -> dict[str, object]:
    say("  working it off")
    try:
        measured = bench.shadowbus(stream, pairs, seconds=seconds)
    except (CandidateFailedError, WrongOutputError) as error:
        say(f"  failed: {error}")
        return {"pairs": pairs, "failed": str(error).partition(" Its last words")[0]}
    finally:
        stream.delete()
    figures = {
        "pairs": pairs,
        "compared": measured.count.compared,
        "pairs_per_s": measured.pairs_per_s,
        "worker_mib": _quarters(measured, lambda sample: sample.started_mib),
        "model_mib": _quarters(measured, lambda sample: sample.children_mib),
    }
    say(f"    {measured.pairs_per_s:,.0f} pairs/s, MiB of the worker in each quarter {figures['worker_mib']}")
    return figures


def _quarters(measured: Measurement, mib: Callable[[Sample], float]) -> list[float]:
    """The peak in each quarter of the output; the first begins with the first record that was written."""
    shares = [share for _, share in measured.track]
    moments = [at for at, _ in measured.track]
    edges = [next(i for i, share in enumerate(shares) if share > 0)]
    edges += [next(i for i, share in enumerate(shares) if share >= quarter / 4) for quarter in (1, 2, 3, 4)]
    peaks: list[float] = []
    for first, last in pairwise(edges):
        within = [mib(one) for one in measured.memory if moments[first] <= one.at <= moments[last]]
        peaks.append(round(max(within), 1) if within else peaks[-1] if peaks else 0.0)
    return peaks


def _hour_apart(bench: Bench, pairs: int) -> Stream:
    """All predictions first, then all requests, whose clock says an hour later; the join window is long enough."""
    settings = {"replay.join_window_ms": 3 * HOUR_MS, "replay.max_pending": MAX_PENDING}
    stream = open_stream(bench.bootstrap, bench.name("apart"), bench.bundle, settings=settings)
    producer = make_producer(bench.bootstrap)
    start_ms = time.time_ns() // 1_000_000 - 2 * HOUR_MS
    for side, ahead_ms in (("predictions", 0), ("requests", HOUR_MS)):
        for number, (key, request, prediction) in enumerate(pairs_of(range(pairs))):
            value = request if side == "requests" else prediction
            send(producer, stream.topic(side), key, value, start_ms + ahead_ms + number // 20)
        producer.flush()
    return stream
