"""What is shown to Prometheus: the table of metrics, a run's numbers against plain counting, and the bounds."""

import json
import socket
import urllib.error
import urllib.request

import pytest

from exported import LABELS, REQUESTS, TRIAL, expose, run_in_process
from promql import Sample, labels_of, samples_of
from shadowbus.cli.run.up import with_ports
from shadowbus.clock import monotonic
from shadowbus.errors import SettingsError
from shadowbus.exporter.families import families
from shadowbus.exporter.health import health
from shadowbus.exporter.meter import Meter
from shadowbus.exporter.metrics import OF_WORKERS
from shadowbus.exporter.serve import exported
from shadowbus.exporter.trial import OF_TRIALS, TrialCollector
from shadowbus.exporter.trials import MOST_CRITERIA, MOST_SEGMENTS, MOST_TRIALS, Trials
from shadowbus.exporter.worker import WorkerCollector
from shadowbus.processes.supervisor import Command
from shadowbus.records import Aggregate, Verdict, encode
from shadowbus.settings import MAX_PORT, MetricsSettings
from shadowbus.stage import Outputs

METRICS = {**OF_WORKERS, **OF_TRIALS}
ADDED = {"job", "instance"}
FAILING = REQUESTS // 20


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return run_in_process(tmp_path_factory.mktemp("run"))[1]


def value(samples: list[Sample], name: str, **labels: str) -> float:
    found = [one.value for one in samples if one.name == name and labels.items() <= one.labels.items()]
    assert len(found) == 1, f"{len(found)} series of {name} with {labels}"
    return found[0]


def of_trial(samples: list[Sample]) -> list[Sample]:
    return [one for one in samples if one.labels.get("trial") == TRIAL]


def test_every_metric_of_the_table_is_exported_with_just_its_labels(samples: list[Sample]) -> None:
    seen = {name: labels - ADDED for name, labels in labels_of(samples).items() if name.startswith("shadowbus_")}
    wanted: dict[str, set[str]] = {}
    for metric in METRICS.values():
        if metric.kind == "histogram":
            ends = {"bucket": {"le"}, "sum": set[str](), "count": set[str]()}
            wanted.update({f"{metric.name}_{end}": {*metric.labels, *more} for end, more in ends.items()})
        else:
            wanted[metric.name] = set(metric.labels)
    assert seen == wanted


def test_names_and_kinds_are_as_prometheus_wants_them() -> None:
    assert all(metric.name.endswith("_total") == (metric.kind == "counter") for metric in METRICS.values())
    assert all(metric.says.endswith(".") for metric in METRICS.values())


def test_workers_say_what_they_did(samples: list[Sample]) -> None:
    assert value(samples, "shadowbus_records_read_total", stage="replay", topic="predictions") == REQUESTS + 1
    assert value(samples, "shadowbus_records_written_total", stage="replay", topic="comparisons") == REQUESTS
    assert value(samples, "shadowbus_dead_letters_total", stage="replay") == 1
    assert value(samples, "shadowbus_records_written_total", stage="judge", topic="outcomes") == LABELS - LABELS // 20
    assert value(samples, "shadowbus_commit_seconds_bucket", stage="judge", le="0.01") == 0
    assert value(samples, "shadowbus_commit_seconds_bucket", stage="judge", le="0.025") == 1
    assert value(samples, "shadowbus_commit_seconds_count", stage="judge") == 1


def test_the_books_add_up_as_they_are_exported(samples: list[Sample]) -> None:
    entries = ("duplicates", "dead_lettered", "waiting", "sampled_out")
    became = sum(
        value(samples, "shadowbus_books_records", stage="replay", topic="predictions", entry=entry) for entry in entries
    )
    read = value(samples, "shadowbus_books_records", stage="replay", topic="predictions", entry="read")
    compared = [one for one in of_trial(samples) if one.name == "shadowbus_trial_comparisons_total"]
    assert read == became + sum(one.value for one in compared)
    assert value(samples, "shadowbus_books_gap", trial=TRIAL) == 0


def test_a_trial_is_what_a_plain_count_says(samples: list[Sample]) -> None:
    answered = [n for n in range(REQUESTS) if n % 20]
    agreed = sum(n % 7 != 0 for n in answered) / len(answered)
    labelled = [n for n in answered if n < LABELS]
    live = sum(n % 7 != 0 for n in labelled) / len(labelled)
    whole = {"trial": TRIAL, "segment": "all"}
    assert value(samples, "shadowbus_trial_requests", **whole) == REQUESTS
    assert value(samples, "shadowbus_trial_labels", **whole) == len(labelled)
    assert value(samples, "shadowbus_agreement_ratio", **whole) == pytest.approx(agreed)
    assert value(samples, "shadowbus_control_noise_ratio", trial=TRIAL) == pytest.approx(1 - agreed)
    assert value(samples, "shadowbus_error_ratio", **whole) == pytest.approx(FAILING / REQUESTS)
    assert value(samples, "shadowbus_accuracy_ratio", side="live", **whole) == pytest.approx(live)
    assert value(samples, "shadowbus_accuracy_ratio", side="shadow", **whole) == 1.0
    assert value(samples, "shadowbus_latency_seconds", side="live", quantile="0.5", **whole) == pytest.approx(0.0015)
    assert value(samples, "shadowbus_trial_requests", trial=TRIAL, segment="country=DE") == REQUESTS / 2
    low, high = (value(samples, f"shadowbus_accuracy_difference_{end}", **whole) for end in ("low", "high"))
    assert low < 1.0 - live < high


def test_one_verdict_stands_and_each_criterion_is_in_one_state(samples: list[Sample]) -> None:
    verdicts = {one.labels["verdict"]: one.value for one in of_trial(samples) if one.name == "shadowbus_verdict"}
    assert verdicts.keys() == {"PROMOTE", "SEND_BACK", "KEEP_WATCHING"}
    assert sorted(verdicts.values()) == [0, 0, 1]
    standing: dict[str, float] = {}
    for one in of_trial(samples):
        if one.name == "shadowbus_criterion_state":
            standing[one.labels["criterion"]] = standing.get(one.labels["criterion"], 0) + one.value
    assert {"requests", "error_rate", "agreement", "accuracy"} <= standing.keys()
    assert set(standing.values()) == {1.0}


def aggregate(trial: str, segment: str, requests: int, updated_ms: int = 1) -> bytes:
    return encode(Aggregate(trial, segment, "all", {}, {"requests": requests}, {}, updated_ms))


def test_more_trials_segments_and_criteria_than_fit_are_counted_and_the_largest_are_shown() -> None:
    trials = Trials()
    for number in range(MOST_TRIALS + 3):
        name = f"a~b@{number}"
        trials.take("aggregates", f"{name}|all|all".encode(), aggregate(name, "all", 1, number))
    name = f"a~b@{MOST_TRIALS + 2}"
    for number in range(MOST_SEGMENTS + 5):
        segment = f"c={number}"
        trials.take("aggregates", f"{name}|{segment}|all".encode(), aggregate(name, segment, number))
        trials.take("aggregates", f"{name}|{segment}|1000".encode(), b"a window, which is not read")
    criteria: list[object] = [{"name": f"accuracy:c={n}", "state": "open"} for n in range(MOST_CRITERIA + 9)]
    criteria += [{"name": "accuracy", "state": "open"}, {"name": "accuracy:c=bad", "state": "fails"}]
    record = Verdict(name, "A_NEW_WORD", criteria, 1, 1, {}, 10**15)
    trials.take("verdicts", name.encode(), encode(record))
    found = [sample for family in TrialCollector(trials).collect() for sample in family.samples]
    by_name: dict[str, list[dict[str, str]]] = {}
    for sample in found:
        by_name.setdefault(sample.name, []).append(sample.labels)
    shown = {labels["trial"] for labels in by_name["shadowbus_trial_requests"]}
    assert shown == {f"a~b@{number}" for number in range(3, MOST_TRIALS + 3)}, "the newest"
    segments = {labels["segment"] for labels in by_name["shadowbus_trial_requests"] if labels["trial"] == name}
    assert segments == {"all", *(f"c={number}" for number in range(5, MOST_SEGMENTS + 5))}, "the largest"
    named = [labels["criterion"] for labels in by_name["shadowbus_criterion_state"]]
    assert len(set(named)) == MOST_CRITERIA
    assert {"accuracy", "accuracy:c=bad"} <= set(named)
    left = {one.name: one.value for one in found if "left_out" in one.name and one.labels.get("trial", name) == name}
    assert left == {
        "shadowbus_trials_left_out": 3,
        "shadowbus_segments_left_out": 5,
        "shadowbus_criteria_left_out": 11,
    }
    words = {labels["verdict"] for labels in by_name["shadowbus_verdict"]}
    assert words == {"PROMOTE", "SEND_BACK", "KEEP_WATCHING", "A_NEW_WORD"}


def test_what_is_deleted_or_taken_over_by_others_is_no_longer_shown() -> None:
    trials = Trials()
    trials.take("aggregates", b"a~b@1|all|all", aggregate("a~b@1", "all", 1))
    trials.take("verdicts", b"a~b@1", b"no JSON")
    assert list(trials.shown()[0]) == ["a~b@1"]
    trials.take("aggregates", b"a~b@1|all|all", None)
    assert trials.shown()[0] == {}
    trials.take("aggregates", b"a~b@1|all|all", aggregate("a~b@1", "all", 1))
    trials.forget()
    assert trials.shown() == ({}, 0)


def test_what_is_not_in_the_table_cannot_be_exported() -> None:
    with pytest.raises(KeyError):
        families([("shadowbus_made_up", (), 1.0)], METRICS)
    with pytest.raises(ValueError, match="labels"):
        families([("shadowbus_books_gap", (), 1.0)], METRICS)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_metrics_are_served_on_localhost_and_the_port_is_free_again_afterwards() -> None:
    meter, port = Meter("judge"), free_port()
    for _ in range(2):
        with exported(MetricsSettings(port), meter) as served:
            assert served
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            assert 'shadowbus_batches_total{shadow="",stage="judge"} 0.0' in text
    with exported(MetricsSettings(), meter) as served:
        assert not served


def test_a_worker_whose_loop_goes_round_is_well_and_one_that_stands_still_is_not() -> None:
    meter = Meter("judge", worker="judge-0")
    assert health(meter, began=100.0, now=159.0, patience=60.0)[0], "its first turn is waited for"
    assert not health(meter, began=100.0, now=161.0, patience=60.0)[0]
    meter.turned(160.0)
    assert health(meter, began=100.0, now=220.0, patience=60.0)[0]
    well, said = health(meter, began=100.0, now=221.0, patience=60.0)
    assert not well
    assert {"ok": False, "worker": "judge-0", "quiet_seconds": 61.0}.items() <= json.loads(said).items()


@pytest.mark.parametrize(("patience", "status"), [(3600.0, 200), (0.0, 503)])
def test_health_is_served_beside_the_metrics(patience: float, status: int) -> None:
    meter, port = Meter("judge"), free_port()
    meter.turned(monotonic())
    with exported(MetricsSettings(port), meter, patience=patience):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
                got, said = answer.status, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                got, said = refused.code, refused.read()
    assert got == status
    assert json.loads(said)["stage"] == "judge"


def test_a_port_that_is_taken_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with exported(MetricsSettings(port), Meter()) as served:
            assert not served
    assert f"no metrics: 127.0.0.1:{port} cannot be opened" in caplog.text


def test_up_gives_each_process_a_port_of_its_own_or_none() -> None:
    running = [Command("replay-new-0", ("replay", "--shadow", "new")), Command("judge-0", ("judge",))]
    numbered = [command.arguments for command in with_ports(iter(running), 9400)]
    assert [arguments[-2:] for arguments in numbered] == [("--metrics-port", "9400"), ("--metrics-port", "9401")]
    assert [arguments[:-2] for arguments in numbered] == [command.arguments for command in running]
    assert {command.arguments[-1] for command in with_ports(iter(running), 0)} == {"0"}
    with pytest.raises(SettingsError, match="begin lower"):
        list(with_ports(iter(running), MAX_PORT))


def test_a_hostile_name_stays_one_label() -> None:
    trials, evil = Trials(), 'x"} 1\nshadowbus_books_gap{trial="y'
    trials.take("aggregates", f"{evil}|all|all".encode(), aggregate(evil, "all", 7))
    found = samples_of(expose(TrialCollector(trials)), "agents")
    assert [one.labels["trial"] for one in found if one.name == "shadowbus_trial_requests"] == [evil]
    assert not [one for one in found if one.name == "shadowbus_books_gap"]


def test_a_meter_counts_by_batch_and_forgets_partitions_it_lost() -> None:
    meter = Meter("replay", "new")
    outputs = Outputs({"comparisons": [(0, b"k", b"v")] * 3, "vitals": [(0, b"k", b"{}"), (1, b"k", b"{}")]})
    outputs.stamped["requests"] = [(0, b"k", b"v", 1)]
    meter.wrote(outputs)
    meter.wrote(outputs)
    assert meter.written == {"comparisons": 6, "vitals": 4, "requests": 2}
    assert set(meter.vitals) == {0, 1}
    meter.holds(1)
    assert (meter.held, meter.vitals, meter.lags) == (1, {}, {})


@pytest.mark.parametrize(("network", "isolated"), [("off", 1.0), ("on", 0.0), ("not isolated: no namespaces", 0.0)])
@pytest.mark.parametrize("given_up", [None, "batch: refuses rows together"])
def test_what_a_model_costs_beyond_its_answers_is_told(network: str, isolated: float, given_up: str | None) -> None:
    model = {"network": network, "network_missed": 3, "detours": {"batch": 5}, "given_up": given_up}
    record = {"stage": "replay", "shadow": "s", "worker": "w", "partition": 0, "timestamp_ms": 1, "books": {}}
    meter = Meter("replay", "s", "w", vitals={0: json.dumps({"v": 1, **record, "model": model}).encode()})
    samples = [one for family in WorkerCollector(meter).collect() for one in family.samples]
    told = {(one.name, one.labels.get("way")): one.value for one in samples}
    assert told["shadowbus_model_isolated", None] == isolated
    assert told["shadowbus_model_network_missed_total", None] == 3
    assert told["shadowbus_model_detours_total", "batch"] == 5
    assert told["shadowbus_model_given_up", None] == float(given_up is not None)
