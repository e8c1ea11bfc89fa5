"""The benchmark is believed, so it has to notice what is wrong: few pairs, real programs, a real broker."""

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from candidate import Candidate, peers
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from cost_model import PAGE, Cost, Measured, tables
from outputs import Outputs, WrongOutputError
from peers_venv import PeersVenv
from processes import CandidateFailedError
from stream import filled_stream
from throughput import throughput
from workload import make_bundle, pairs_of

ROOT = Path(__file__).resolve().parents[2]
VENV = PeersVenv()
PEERS = {candidate.name: candidate for candidate in peers(VENV.python)}
PAIRS = 400
ROW_KEYS = {"name", "pairs_per_s", "cpu_us_per_pair", "peak_mib", "guarantee", "pairs", "unique"}

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def bench(bootstrap: str, namespace: str, bundle: Path, tmp_path: Path) -> Bench:
    class Named(Bench):
        def name(self, what: str) -> str:
            return f"{namespace}-{super().name(what)}"

    return Named(bootstrap, tmp_path, bundle, itertools.count())


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


def test_results_go_to_stdout_and_to_both_files_and_progress_to_stderr(tmp_path: Path) -> None:
    asked = ("--only", "shadowbus,raw-copy,latency,judge", "--rounds", "1", "--pairs", "3000", "--seconds", "2")
    done = run(*asked, "--waiting", "3000", "--joins", "600", "--json", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "results.json").read_text())
    rows = {row["name"]: row for row in document["rows"]}
    assert set(rows) == {"shadowbus", "raw-copy"}
    for row in rows.values():
        assert set(row) >= ROW_KEYS
        assert row["pairs"] == row["unique"] == 3000
        assert row["pairs_per_s"] > 0
        assert row["peak_mib"] > 10
    ratio = rows["shadowbus"]["pairs_per_s"] / rows["raw-copy"]["pairs_per_s"]
    assert document["ratio"] == {"median": pytest.approx(ratio), "rounds": [pytest.approx(ratio)]}
    assert {"cpu", "cores", "memory_gib"} <= set(document["machine"])
    assert {"kafka", "librdkafka", "confluent-kafka"} <= set(document["machine"]["versions"])
    assert document["bytes_per_pair"]["requests"] > 100
    for one in document["latency"]:
        assert 0 < one["p50_ms"] <= one["p99_ms"] <= one["max_ms"]
        assert one["pairs"] > 0
    judged = document["judge"]
    assert judged["restored"] == judged["waiting"] == 3000
    assert judged["labels_alone"]["joins"] == judged["labels_and_comparisons"]["joins"] == 600
    page = (tmp_path / "results.md").read_text()
    assert f"| shadowbus | {rows['shadowbus']['pairs_per_s']:,.0f} |" in page
    assert "## Latency" in page
    assert "## Judge" in page
    assert "round 1 of 1" in done.stderr


def test_a_name_nobody_knows_is_answered_with_those_there_are(tmp_path: Path) -> None:
    done = run("--only", "shadowbus,kstreams", "--out", str(tmp_path))
    assert done.returncode != 0
    assert "kstreams" in done.stderr
    assert "raw-copy" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", sorted(PEERS))
def test_every_peer_compares_every_pair(name: str, bench: Bench) -> None:
    """`Bench.run` counts the comparisons and checks how many agree against the model itself."""
    candidate = PEERS[name]
    if candidate.installed_apart and not VENV.has(name):
        pytest.skip("`make bench` has not made the peers' virtual environment")
    stream = filled_stream(bench.bootstrap, bench.name("peer"), bench.bundle, PAIRS)
    measured = bench.run(candidate, stream, PAIRS, seconds=90)
    assert measured.count.unique == measured.count.compared == PAIRS


def script(tmp_path: Path, body: str) -> Candidate:
    """A candidate that is this program, told the broker and its output topic."""
    file = tmp_path / "candidate.py"
    file.write_text(body)

    def command(stream: Any, output: str) -> list[str]:
        return [sys.executable, str(file), stream.bootstrap, output]

    return Candidate("made-up", "none", PAIRS, command, ("made-up",))


WRITES = """
import signal, sys
from confluent_kafka import Producer
producer = Producer({"bootstrap.servers": sys.argv[1]})
for number in range(%d):
    value = b'{"status":"compared","agree":true}'
    producer.produce(sys.argv[2], value, b"%%d" %% (number %% %d))
producer.flush()
signal.pause()
"""


def test_a_double_is_no_result(bench: Bench, tmp_path: Path) -> None:
    stream = filled_stream(bench.bootstrap, bench.name("double"), bench.bundle, PAIRS)
    with pytest.raises(WrongOutputError, match=f"{PAIRS} records with {PAIRS - 1} different keys"):
        bench.run(script(tmp_path, WRITES % (PAIRS, PAIRS - 1)), stream, PAIRS, seconds=60)


def test_a_wrong_answer_is_no_result(bench: Bench, tmp_path: Path) -> None:
    stream = filled_stream(bench.bootstrap, bench.name("wrong"), bench.bundle, PAIRS)
    with pytest.raises(WrongOutputError, match=f"{PAIRS} agree, not"):
        bench.run(script(tmp_path, WRITES % (PAIRS, PAIRS)), stream, PAIRS, seconds=60)


def test_a_candidate_that_ends_has_no_row_and_its_last_words_are_told(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = script(tmp_path, "raise SystemExit('nothing to be done')")
    found = throughput(bench, [broken], pairs=PAIRS, rounds=1)
    assert found.rows == []
    assert set(found.failed) == {"made-up"}
    assert "nothing to be done" in capsys.readouterr().err


def test_a_candidate_that_stands_still_is_given_up(bench: Bench, tmp_path: Path) -> None:
    stream = filled_stream(bench.bootstrap, bench.name("still"), bench.bundle, PAIRS)
    still = script(tmp_path, "import signal; signal.pause()")
    with pytest.raises(CandidateFailedError, match="0 of 400 records in 2 s"):
        bench.run(still, stream, PAIRS, seconds=2)


def test_the_records_are_the_same_pairs_every_time() -> None:
    first, again = list(pairs_of(range(200))), list(pairs_of(range(100)))
    assert first[:100] == again
    assert len({key for key, _, _ in first}) == 200
    for key, request, prediction in first:
        assert json.loads(request)["request_id"] == json.loads(prediction)["request_id"] == key.decode()
        assert len(json.loads(request)["features"]) == 30


def test_only_committed_records_count(bootstrap: str, namespace: str) -> None:
    topic = f"{namespace}.out"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": namespace})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"x", b"k")
    producer.flush()
    outputs = Outputs(bootstrap, [topic])
    assert outputs.written() == 0
    producer.commit_transaction(30)
    deadline = time.monotonic() + 30
    while not outputs.written():
        assert time.monotonic() < deadline
    assert outputs.written() == 2, "the record and the commit's marker"
    assert outputs.count(topic, 1).unique == 1


MEASURED = Measured(
    pairs_per_s=40_000,
    cpu_us=25,
    broker_us=10,
    peak_mib=500,
    requests=300,
    predictions=40,
    comparisons=100,
    changelog=20,
)


def test_the_cost_of_a_million_requests_a_second() -> None:
    """Worked out by hand from the formulas of docs/scaling.md."""
    cost = Cost(1_000_000, MEASURED)
    assert (cost.workers, cost.partitions) == (50, 100)
    assert (cost.worker_cores, cost.broker_cores) == (25, 10)
    assert cost.bytes_in == 460e6
    assert cost.bytes_replicated == 920e6
    assert cost.bytes_out == 540e6
    assert cost.changelog == 20e6
    assert cost.disk == pytest.approx(1_394_496e9)
    assert Cost(1, MEASURED).workers == 1


def test_the_page_shows_what_follows_from_the_results() -> None:
    document = json.loads((ROOT / "benchmarks" / "results.json").read_text())
    if "latency" not in document:
        pytest.skip("results.json is not that of a whole run")
    assert tables(document) in PAGE.read_text(), "run `python benchmarks/cost_model.py --write`"
