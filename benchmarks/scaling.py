"""What more workers and more partitions give, as far as one machine can show it.

Each worker has a model process, and the broker is on the same cores, so a second worker gains only what the first one
left idle; what it must not do is lose.
"""

from bench import Bench
from outputs import WrongOutputError
from processes import CandidateFailedError, say
from stream import filled_stream

PARTITIONS = (1, 4, 8)
WORKERS = (1, 2)


def scaling(bench: Bench, pairs: int) -> list[dict[str, object]]:
    """Speed for each number of partitions and workers."""
    found: list[dict[str, object]] = []
    for partitions in PARTITIONS:
        for workers in WORKERS:
            if workers > partitions:
                continue
            stream = filled_stream(bench.bootstrap, bench.name("scaling"), bench.bundle, pairs, partitions=partitions)
            try:
                measured = bench.shadowbus(stream, pairs, workers=workers)
            except (CandidateFailedError, WrongOutputError) as error:
                say(f"scaling: {partitions} partitions, {workers} workers failed: {error}")
                found.append({"partitions": partitions, "workers": workers, "failed": str(error).partition("\n")[0]})
                continue
            finally:
                stream.delete()
            say(f"scaling: {partitions} partitions, {workers} workers: {measured.pairs_per_s:,.0f} pairs/s")
            found.append(
                {
                    "partitions": partitions,
                    "workers": workers,
                    "pairs_per_s": measured.pairs_per_s,
                    "cpu_us_per_pair": measured.cpu_us_per_pair,
                    "peak_mib": measured.peak_mib,
                    "pairs": pairs,
                }
            )
    return found
