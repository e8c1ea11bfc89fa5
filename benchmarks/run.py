"""`make bench`: the replay stage beside what a user would pick instead and beside the limit, on a real broker.

Usage: python benchmarks/run.py [--only NAMES] [--rounds N] [--pairs N] [--json] [--out FOLDER]

NAMES are candidates (shadowbus, raw-copy, plain, faust, …), `peers` for all of these, or further measurements: latency,
models, scaling, backlog, judge, backtest. Without --only all of them run, which takes about a quarter of an hour.
Results go to results.json and results.md; what was not measured in this run is not in them.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

from backlog import backlog
from backtest import backtests
from bench import Bench
from candidate import RAW_COPY, SHADOWBUS, Candidate, peers
from confluent_kafka import KafkaException
from cost_model import renew_page
from heavy_models import heavy_models
from judge import judge
from latency import latency
from machine import machine
from outputs import WrongOutputError
from peers_venv import PeersVenv
from processes import CandidateFailedError, say
from report import Document, markdown, write_results
from scaling import scaling
from throughput import Throughput, throughput
from workload import make_bundle

from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.errors import ShadowbusError

HERE = Path(__file__).parent
SECTIONS = ("latency", "models", "scaling", "backlog", "judge", "backtest")
NO_CLEANING = {"log.cleaner.backoff.ms": "86400000"}
"""Compaction would make the bytes that are counted in changelogs depend on when it happens to run."""


def main() -> None:
    options = _options()
    venv = PeersVenv()
    everyone = [RAW_COPY, SHADOWBUS, *peers(venv.python)]
    wanted = _wanted(options.only, [candidate.name for candidate in everyone])
    candidates = [
        candidate
        for candidate in everyone
        if candidate.name in wanted and (not candidate.installed_apart or venv.install(candidate.name))
    ]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        data = Path(folder) / "kafka"
        with EmbeddedKafka(heap_mb=1024, data_dir=data, properties=NO_CLEANING) as kafka:
            bench = Bench(kafka.bootstrap, data, make_bundle(Path(folder)))
            document, failed = _measure(bench, candidates, wanted, options)
    write_results(document, options.out)
    if options.out == HERE and not options.only:
        renew_page(document)
    say(markdown(document))
    if options.json:
        print(json.dumps(document))
    if failed:
        raise SystemExit(f"No figures, because they failed: {', '.join(failed)}.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NAMES", help="what to measure, with commas between")
    parser.add_argument("--rounds", type=int, default=3, help="of shadowbus and the raw copy, in turns")
    parser.add_argument("--pairs", type=int, default=300_000, help="at most, for each candidate")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement of latency")
    parser.add_argument("--backlog-pairs", type=int, default=2_000_000)
    parser.add_argument("--apart-pairs", type=int, default=500_000)
    parser.add_argument("--waiting", type=int, default=10_000_000, help="comparisons that wait in the judge")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each backtest")
    parser.add_argument("--joins", type=int, default=500_000, help="labels, in each measurement of the judge")
    parser.add_argument("--json", action="store_true", help="print the results as JSON on stdout")
    parser.add_argument("--out", type=Path, default=HERE, metavar="FOLDER", help="where the results go")
    return parser.parse_args()


def _wanted(only: str, candidates: list[str]) -> set[str]:
    """The names that were asked for; all of them when none was."""
    known = {*candidates, *SECTIONS}
    if not only:
        return known
    names = {name.strip() for name in only.split(",")}
    if "peers" in names:
        names = names - {"peers"} | set(candidates) - {RAW_COPY.name, SHADOWBUS.name}
    if names - known:
        raise SystemExit(f"--only: {', '.join(sorted(names - known))}? There are {', '.join(sorted(known))}, peers.")
    return names


def _measure(
    bench: Bench, candidates: list[Candidate], wanted: set[str], options: argparse.Namespace
) -> tuple[Document, list[str]]:
    """Everything that is wanted, and the names of what failed."""
    found = throughput(bench, candidates, pairs=options.pairs, rounds=options.rounds)
    document: dict[str, object] = {"machine": machine(), **found.records()}
    measurements: dict[str, Callable[[], object]] = {
        "latency": lambda: latency(bench, _full_rate(found), options.seconds),
        "models": lambda: heavy_models(bench, options.pairs),
        "scaling": lambda: scaling(bench, options.pairs),
        "backlog": lambda: backlog(bench, pairs=options.backlog_pairs, apart_pairs=options.apart_pairs),
        "judge": lambda: judge(bench, waiting=options.waiting, joins=options.joins),
        "backtest": lambda: backtests(bench.folder, bench.bundle, options.rows),
    }
    failed = list(found.failed)
    for name, measurement in measurements.items():
        if name not in wanted:
            continue
        try:
            document[name] = measurement()
            failed += [name] if '"failed":' in json.dumps(document[name]) else []
        except (CandidateFailedError, WrongOutputError, KafkaException, ShadowbusError) as error:
            say(f"{name} failed and is left out: {error}")
            failed.append(name)
    return document, failed


def _full_rate(found: Throughput) -> float:
    """What shadowbus does: as measured in this run, else as in the results that are there."""
    rows = found.rows
    if all(row["name"] != SHADOWBUS.name for row in rows):
        rows = json.loads((HERE / "results.json").read_text())["rows"]
        say("shadowbus was not measured in this run; the full rate is that of results.json")
    return next(float(str(row["pairs_per_s"])) for row in rows if row["name"] == SHADOWBUS.name)


if __name__ == "__main__":
    main()
