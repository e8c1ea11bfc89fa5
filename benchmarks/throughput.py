"""How many pairs a second each candidate makes of the same records, and what that costs it.

shadowbus and the raw copy take turns for several rounds, and the ratio is the median of the rounds': a machine that is
slow for a while is so for both. Peers are measured once. A slower peer gets topics that hold only the first pairs of
the same records, and reads them to their end: of longer ones it would read predictions far ahead, which are smaller,
and pay for work whose comparisons do not count.
"""

from dataclasses import dataclass, field
from statistics import median

from bench import Bench
from candidate import RAW_COPY, SHADOWBUS, Candidate
from measure import Measurement
from outputs import WrongOutputError
from processes import CandidateFailedError, say
from stream import Stream, filled_stream

Row = dict[str, object]

FIRST = (RAW_COPY, SHADOWBUS)


@dataclass
class Throughput:
    """What was found.

    Attributes:
        rows: One for each candidate that got through.
        ratios: shadowbus against the raw copy, of each round.
        bytes_per_pair: What the broker kept of a backlog, by topic.
        failed: Why a candidate has no row, by name.
    """

    rows: list[Row] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    bytes_per_pair: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def records(self) -> dict[str, object]:
        """As it stands in results.json."""
        ratio = {"ratio": {"median": median(self.ratios), "rounds": self.ratios}} if self.ratios else {}
        stored = {"bytes_per_pair": self.bytes_per_pair} if self.bytes_per_pair else {}
        return {"rows": self.rows, **ratio, **stored}


def throughput(bench: Bench, candidates: list[Candidate], *, pairs: int, rounds: int) -> Throughput:
    """Measure every candidate."""
    found = Throughput()
    first = [candidate for candidate in FIRST if candidate in candidates]
    others = [candidate for candidate in candidates if candidate not in FIRST]
    if first:
        _first(bench, first, pairs, rounds, found)
    for size in sorted({min(pairs, candidate.pairs) for candidate in others}, reverse=True):
        stream = filled_stream(bench.bootstrap, bench.name("peers"), bench.bundle, size)
        mine = [candidate for candidate in others if min(pairs, candidate.pairs) == size]
        for candidate in mine:
            measured = _try(bench, candidate, stream, size, found)
            if measured:
                found.rows.append(_row(candidate, [measured], size))
        stream.delete([topic for candidate in mine for topic in candidate.outputs])
    return found


def _first(bench: Bench, candidates: list[Candidate], pairs: int, rounds: int, found: Throughput) -> None:
    """The two that take turns; the one that begins changes from round to round."""
    measured: dict[str, list[Measurement]] = {candidate.name: [] for candidate in candidates}
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: {pairs:,} pairs")
        stream = filled_stream(bench.bootstrap, bench.name("round"), bench.bundle, pairs)
        this_round: dict[str, float] = {}
        for candidate in candidates if number % 2 == 0 else reversed(candidates):
            one = _try(bench, candidate, stream, pairs, found)
            if one:
                measured[candidate.name].append(one)
                this_round[candidate.name] = one.pairs_per_s
        if len(this_round) == len(FIRST):
            found.ratios.append(this_round[SHADOWBUS.name] / this_round[RAW_COPY.name])
        if SHADOWBUS.name in this_round:
            found.bytes_per_pair = bench.stored_bytes(stream, pairs)
        stream.delete([topic for candidate in candidates for topic in candidate.outputs if topic != "comparisons"])
    found.rows += [_row(candidate, all_of, pairs) for candidate in candidates if (all_of := measured[candidate.name])]


def _try(bench: Bench, candidate: Candidate, stream: Stream, pairs: int, found: Throughput) -> Measurement | None:
    say(f"  {candidate.name}: {pairs:,} pairs")
    try:
        measured = bench.run(candidate, stream, pairs)
    except (CandidateFailedError, WrongOutputError) as error:
        say(f"  {candidate.name} failed and has no row: {error}")
        found.failed[candidate.name] = str(error)
        return None
    say(f"    {measured.pairs_per_s:,.0f} pairs/s, {measured.cpu_us_per_pair:.1f} µs of processor time a pair")
    return measured


def _row(candidate: Candidate, rounds: list[Measurement], pairs: int) -> Row:
    """The round whose speed is the median."""
    middle = sorted(rounds, key=lambda measured: measured.pairs_per_s)[(len(rounds) - 1) // 2]
    return {
        "name": candidate.name,
        "pairs_per_s": middle.pairs_per_s,
        "cpu_us_per_pair": middle.cpu_us_per_pair,
        "broker_us_per_pair": middle.broker_us_per_pair,
        "peak_mib": middle.peak_mib,
        "guarantee": candidate.guarantee,
        "pairs": pairs,
        "unique": middle.count.unique,
        "rounds": len(rounds),
    }
