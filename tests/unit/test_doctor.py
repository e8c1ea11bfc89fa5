"""Every check of the doctor but partitioning, over evidence made by hand: one that is well, and one thing changed."""

import dataclasses
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

from shadowbus.doctor.checks import CHECKS, Diagnosis, diagnose
from shadowbus.doctor.evidence import Attempt, BundleFacts, Evidence, GroupFacts, HeldUp, TopicFacts
from shadowbus.doctor.finding import Finding
from shadowbus.doctor.gather import bundle_facts
from shadowbus.doctor.look import Look, held_up, stands_still
from shadowbus.doctor.sample import Sample, sample_of
from shadowbus.kafka.groups import GroupState
from shadowbus.kafka.read.offsets import Bounds
from shadowbus.models.make import write_bundle
from shadowbus.partitioners import partition_of
from shadowbus.records import DeadLetter, encode
from shadowbus.settings import JudgeSettings, RekeySettings, Settings, ShadowSettings, WorkerSettings
from shadowbus.stage import RecordBatch
from shadowbus.topology import topic_names

NOW_MS = 1_760_000_000_000
PARTITIONS = 4
SETTINGS = Settings("churn", partitions=PARTITIONS, shadow=(ShadowSettings("new", "models/4"),))
ALL = frozenset({"READ", "WRITE", "DESCRIBE", "CREATE"})
FEATURES = ("age", "income")


def record(topic: str, identity: str, **changes: object) -> dict[str, Any]:
    known: dict[str, dict[str, object]] = {
        "requests": {"features": {"age": 1, "income": 2}},
        "predictions": {"model": "live@1", "prediction": 1},
        "labels": {"label": 1},
    }
    return {"request_id": identity, "timestamp_ms": NOW_MS, **known[topic], **changes}


def sampled(topic: str, rows: Iterable[tuple[bytes | None, object, int]]) -> Sample:
    """A sample as a reader of the topic would make it: rows are key, value and time in Kafka."""
    pieces = [RecordBatch(topic, partition) for partition in range(PARTITIONS)]
    for key, value, at_ms in rows:
        piece = pieces[partition_of(key, PARTITIONS) if key else 0]
        piece.keys.append(key)
        piece.values.append(value if isinstance(value, bytes) or value is None else json.dumps(value).encode())
        piece.timestamps.append(at_ms)
        piece.offsets.append(len(piece.offsets))
    return sample_of(topic, PARTITIONS, pieces)


def good(topic: str, count: int = 100, at_ms: int = NOW_MS, **changes: object) -> Sample:
    return sampled(topic, ((b"id-%d" % n, record(topic, f"id-{n}", **changes), at_ms) for n in range(count)))


def facts(settings: Settings = SETTINGS) -> dict[str, TopicFacts]:
    names = topic_names(settings.namespace, tuple(shadow.name for shadow in settings.shadow))
    return {name: TopicFacts(settings.partitions, topic.config(), ALL, 400) for name, topic in names.items()}


def evidence(**changes: Any) -> Evidence:
    """Everything is well."""
    groups = {
        "churn.new.replay": GroupFacts("replay --shadow new", "STABLE", 1, ever=True),
        "churn.judge": GroupFacts("judge", "STABLE", 1, behind=6, leftover=16, ever=True),
    }
    versions = {"scikit-learn": "1.7.0", "numpy": "2.1.0"}
    well: dict[str, Any] = {
        "settings": SETTINGS,
        "now_ms": NOW_MS,
        "bundles": (BundleFacts("new", "models/4", FEATURES, versions, versions),),
        "topics": facts(),
        "samples": {name: good(name) for name in ("requests", "predictions", "labels")},
        "groups": groups,
        "attempts": (Attempt("churn.judge-doctor"),),
        "broker": {"group.min.session.timeout.ms": "6000", "group.max.session.timeout.ms": "1800000"},
    }
    return Evidence(**{**well, **changes})


def with_topic(name: str, **changes: Any) -> Evidence:
    """One topic's settings changed; underscores stand for dots, and None takes one away."""
    topics = facts()
    config = {**topics[name].config, **{key.replace("_", "."): value for key, value in changes.items()}}
    return evidence(topics={**topics, name: dataclasses.replace(topics[name], config=config)})


def with_samples(**samples: Sample) -> Evidence:
    well = evidence()
    return dataclasses.replace(well, samples={**well.samples, **samples})


def only(found: Evidence) -> Finding:
    """The one finding there is."""
    diagnosis = diagnose(found)
    assert len(diagnosis.findings) == 1, diagnosis.findings
    return diagnosis.findings[0]


def test_nothing_is_found_where_all_is_well() -> None:
    assert diagnose(evidence()) == Diagnosis((), tuple(CHECKS))
    assert diagnose(evidence()).ok


def test_problems_come_before_warnings_and_only_they_count_as_failure() -> None:
    topics = facts()
    del topics["churn.verdicts"]
    held = Attempt("x", "UNSUPPORTED_VERSION", "no")
    both = diagnose(evidence(topics=topics, attempts=(held,), blind=("Kafka hides its groups.",)))
    assert [one.severity for one in both.findings] == ["problem", "problem", "warning"]
    assert not both.ok
    assert diagnose(evidence(blind=("Kafka hides its groups.",))).ok


def test_every_finding_has_its_check_and_three_sentences() -> None:
    topics = facts()
    del topics["churn.verdicts"]
    for one in diagnose(evidence(topics=topics, attempts=(Attempt("x", "_TIMED_OUT", "slow"),))).findings:
        assert one.check in CHECKS
        assert all((one.what, one.evidence, one.fix))
        assert one.fix[0].isupper() or one.fix.startswith("kafka-")


def test_kafka_that_does_not_answer_is_one_problem_and_bundles_are_still_checked() -> None:
    broken = BundleFacts("new", "models/4", wrong="models/4 is not a model bundle.")
    found = diagnose(Evidence(SETTINGS, NOW_MS, (broken,), unreachable="Kafka does not answer (timed out)."))
    assert [one.check for one in found.findings] == ["bundles", "kafka"]


def test_missing_topics_are_created_and_a_missing_source_is_corrected() -> None:
    topics = facts()
    del topics["churn.verdicts"], topics["churn.new.replay-changelog"]
    found = only(evidence(topics=topics))
    assert found.what.startswith("2 of 12 topics are missing")
    assert "`shadowbus topics --create`" in found.fix
    settings = dataclasses.replace(SETTINGS, rekey=RekeySettings(labels="raw"))
    assert "rekey.labels" in only(evidence(settings=settings)).fix


def test_partition_counts_that_differ() -> None:
    topics = facts()
    topics["churn.predictions"] = dataclasses.replace(topics["churn.predictions"], partitions=3)
    found = only(evidence(topics=topics))
    assert "churn.predictions has 3" in found.evidence
    assert "[rekey]" in found.fix
    other = only(evidence(topics={name: dataclasses.replace(one, partitions=8) for name, one in facts().items()}))
    assert other.fix == "Set partitions = 8 in shadow.toml."


@pytest.mark.parametrize(
    ("name", "config", "severity", "words"),
    [
        ("churn.requests", {"cleanup_policy": "compact"}, "problem", "records are lost"),
        ("churn.partials", {"cleanup_policy": "delete"}, "problem", "state is deleted"),
        ("churn.requests", {"retention_ms": "59999"}, "problem", "replay.join_window_ms"),
        ("churn.predictions", {"retention_ms": "1000"}, "problem", "replay.join_window_ms"),
        ("churn.comparisons", {"retention_ms": "604800000"}, "warning", "judge.horizon_days"),
        ("churn.labels", {"retention_ms": "604800000"}, "warning", "judge.horizon_days"),
        ("churn.labels", {"retention_bytes": "1000"}, "warning", "deleted by size"),
        ("churn.dead-letters", {"max_message_bytes": "1048588"}, "warning", "too large"),
        ("churn.new.replay-changelog", {"max_message_bytes": "1048588"}, "warning", "too large"),
    ],
)
def test_topics_that_are_kept_otherwise(name: str, config: dict[str, str], severity: str, words: str) -> None:
    found = only(with_topic(name, **config))
    assert found.severity == severity
    assert words in found.what
    assert f"--entity-name {name} " in found.fix


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("churn.requests", {"retention_ms": "60000"}),
        ("churn.labels", {"retention_ms": "-1", "retention_bytes": "-1"}),
        ("churn.verdicts", {"max_message_bytes": "1048588"}),
    ],
)
def test_topics_that_are_kept_long_enough(name: str, config: dict[str, str]) -> None:
    assert diagnose(with_topic(name, **config)).findings == ()


def test_a_longer_horizon_asks_for_longer_retention() -> None:
    settings = dataclasses.replace(SETTINGS, judge=JudgeSettings(horizon_days=60.0))
    found = diagnose(evidence(settings=settings)).findings
    assert [one.check for one in found] == ["retention", "retention"]
    assert all("5184000000 (60.0 days)" in one.evidence for one in found)


def test_missing_rights_are_named_with_who_needs_them_and_the_command_that_grants_them() -> None:
    topics = facts()
    topics["churn.comparisons"] = dataclasses.replace(
        topics["churn.comparisons"], rights=frozenset({"DESCRIBE", "READ"})
    )
    del topics["churn.labels"]
    found = only(evidence(topics=topics, forbidden=frozenset({"churn.labels"})))
    assert found.check == "rights"
    assert found.what == "This user may not do what these stages have to do: replay, judge."
    assert found.evidence == "it may not WRITE topic churn.comparisons, READ topic churn.labels."
    assert found.fix.startswith("`shadowbus rights replay judge --principal User:NAME` ")
    found = only(evidence(joining={"churn.judge": frozenset({"DESCRIBE"}), "churn.agents": None}))
    assert found.evidence == "it may not READ group churn.judge."


@pytest.mark.parametrize(
    ("code", "fix"),
    [
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "`shadowbus rights up "),
        ("_UNSUPPORTED_FEATURE", "Apache Kafka 2.5"),
        ("INVALID_TRANSACTION_TIMEOUT", "worker.transaction_timeout_ms to at most 900000"),
        ("_TIMED_OUT", "__transaction_state"),
    ],
)
def test_transactions_that_fail_say_what_to_do(code: str, fix: str) -> None:
    attempts = (Attempt("churn.judge-doctor", code, "no"), Attempt("churn.new.replay-doctor", code, "no"))
    broker = {"transaction.max.timeout.ms": "900000"}
    found = only(evidence(attempts=attempts, broker=broker))
    assert "churn.judge-doctor, churn.new.replay-doctor" in found.evidence
    assert fix in found.fix


def test_limits_of_the_broker() -> None:
    settings = dataclasses.replace(SETTINGS, worker=WorkerSettings(session_timeout_ms=3_000))
    assert "the broker takes 6000 to 1800000" in only(evidence(settings=settings)).evidence
    settings = dataclasses.replace(SETTINGS, kafka={"consumer": {"group.protocol": "consumer"}})
    classic = {"group.coordinator.rebalance.protocols": "classic"}
    assert "group protocol 'consumer'" in only(evidence(settings=settings, broker=classic)).what
    both = {"group.coordinator.rebalance.protocols": "classic,consumer"}
    assert diagnose(evidence(settings=settings, broker=both)).ok


@pytest.mark.parametrize(("asked", "default", "found"), [(-1, "1", 1), (1, "3", 1), (-1, "3", 0), (3, "1", 0)])
def test_one_copy_in_a_cluster_is_told(asked: int, default: str, found: int) -> None:
    settings = dataclasses.replace(SETTINGS, replication=asked)
    broker = {"default.replication.factor": default, "transaction.state.log.replication.factor": "3"}
    findings = diagnose(evidence(settings=settings, broker=broker)).findings
    assert [one.check for one in findings] == ["copies"] * found
    alone = {**broker, "transaction.state.log.replication.factor": "1"}
    assert diagnose(evidence(settings=settings, broker=alone)).ok


def test_records_without_a_key_or_under_another() -> None:
    bare = sampled("predictions", ((None, record("predictions", f"id-{n}"), NOW_MS) for n in range(40)))
    assert "40 of 40" in only(with_samples(predictions=bare)).evidence
    users = sampled("labels", ((b"user-%d" % (n % 3), record("labels", f"id-{n}"), NOW_MS) for n in range(40)))
    found = only(with_samples(labels=users))
    assert found.check == "keys"
    assert "40 of 40 sampled keys differ from request_id: key 'user-" in found.evidence
    assert "[rekey]" in found.fix


def test_ids_that_come_again() -> None:
    ids = [f"id-{n % 80}" for n in range(100)]
    others = sampled(
        "requests", ((i.encode(), record("requests", i, context={"n": n}), NOW_MS) for n, i in enumerate(ids))
    )
    found = only(with_samples(requests=others))
    assert found.severity == "problem"
    assert "20 of 100 sampled records repeat an id, 0 of them byte for byte" in found.evidence
    assert "UUID" in found.fix
    same = sampled("requests", ((i.encode(), record("requests", i), NOW_MS) for i in ids))
    assert "enable.idempotence" in only(with_samples(requests=same)).fix


def test_labels_in_another_vocabulary_than_the_answers() -> None:
    words = sampled(
        "labels", ((b"id-%d" % n, record("labels", f"id-{n}", label=("no", "yes")[n % 2]), NOW_MS) for n in range(40))
    )
    found = only(with_samples(labels=words))
    assert (found.check, found.severity) == ("vocabulary", "problem")
    assert "labels 'no', 'yes', answers '1'" in found.evidence
    assert "same_class" in found.fix
    told = ShadowSettings("new", "models/4", options={"same_class": {"yes": 1, "no": 0}})
    assert diagnose(
        dataclasses.replace(
            with_samples(labels=words), settings=Settings("churn", partitions=PARTITIONS, shadow=(told,))
        )
    ).ok


def test_records_of_another_shape_are_counted_by_reason() -> None:
    rows: list[tuple[bytes | None, object, int]] = [
        (b"id-%d" % n, record("requests", f"id-{n}"), NOW_MS) for n in range(95)
    ]
    rows += [(b"x%d" % n, record("requests", f"x{n}", features="text"), NOW_MS) for n in range(3)]
    rows += [(b"y", b"{oops", NOW_MS), (b"z", None, NOW_MS)]
    found = only(with_samples(requests=sampled("requests", rows)))
    assert found.check == "shapes"
    assert found.evidence.startswith("5 of 100 sampled records: 3 times: the field 'features' has to be")


@pytest.mark.parametrize(
    ("value", "unit"), [(NOW_MS // 1000, "seconds"), (NOW_MS * 1000, "microseconds"), (NOW_MS * 10**6, "nanoseconds")]
)
def test_times_in_another_unit(value: int, unit: str) -> None:
    found = only(with_samples(labels=good("labels", timestamp_ms=value)))
    assert found.what == f"churn.labels: timestamp_ms is in {unit}, not in milliseconds."
    kept = diagnose(with_samples(labels=good("labels", at_ms=value))).findings
    assert [one.what for one in kept] == [f"churn.labels: the time in Kafka is in {unit}, not in milliseconds."]


def test_old_records_are_no_seconds() -> None:
    month_ms = 30 * 86_400_000
    assert diagnose(with_samples(labels=good("labels", at_ms=NOW_MS - month_ms, timestamp_ms=NOW_MS - month_ms))).ok


@pytest.mark.parametrize(
    ("gap_ms", "severity"),
    [(20, None), (-20, None), (-5_000, "warning"), (-61_000, "problem"), (45_000, "warning"), (61_000, "problem")],
)
def test_clocks_that_differ(gap_ms: int, severity: str | None) -> None:
    at = NOW_MS - 100_000
    found = diagnose(
        with_samples(requests=good("requests", at_ms=at), predictions=good("predictions", at_ms=at + gap_ms))
    )
    assert [one.severity for one in found.findings] == ([severity] if severity else [])
    if severity:
        assert f"{abs(gap_ms) / 1000:.1f} s or more {'after' if gap_ms > 0 else 'before'}" in found.findings[0].evidence


def test_records_from_the_future() -> None:
    ahead = diagnose(with_samples(labels=good("labels", at_ms=NOW_MS + 300_000))).findings
    assert ["300 s ahead" in one.evidence for one in ahead] == [True]


def test_a_bundle_that_cannot_be_used_or_was_made_with_other_libraries() -> None:
    broken = BundleFacts(
        "new", "models/4", wrong="models/4/model.skops is not the file that manifest.json vouches for."
    )
    assert only(evidence(bundles=(broken,))).severity == "problem"
    versions = {"scikit-learn": "1.7.0", "numpy": "2.1.0"}
    other = BundleFacts("new", "models/4", FEATURES, versions, {"scikit-learn": "1.6.1"})
    found = only(evidence(bundles=(other,)))
    assert found.severity == "warning"
    assert found.evidence == "scikit-learn 1.7.0 then, 1.6.1 now, numpy 2.1.0 then, not installed now."
    assert "pip install scikit-learn==1.7.0 numpy==2.1.0" in found.fix


def test_a_model_that_reaches_the_network_though_it_should_not() -> None:
    found = only(evidence(network="this system does not allow it: Operation not permitted"))
    assert (found.severity, found.check) == ("warning", "network")
    assert found.evidence.startswith("the network cannot be taken from new: this system does not allow it")
    assert "network = true" in found.fix
    allowed = dataclasses.replace(SETTINGS, shadow=(dataclasses.replace(SETTINGS.shadow[0], network=True),))
    assert not diagnose(evidence(settings=allowed, network="no")).findings


def test_a_replay_that_cannot_load_its_bundle_is_not_told_to_be_started() -> None:
    groups = {
        "churn.new.replay": GroupFacts("replay --shadow new", "EMPTY", behind=500, leftover=16, ever=True),
        "churn.judge": GroupFacts("judge", "STABLE", 1),
    }
    sentence = "This model is a pickle (joblib): set 'allow_pickle = true'."
    found = only(evidence(groups=groups, bundles=(BundleFacts("new", "models/4", wrong=sentence),)))
    assert (found.check, found.evidence) == ("bundles", sentence)


@pytest.mark.parametrize("allowed", [True, False])
def test_a_pickle_is_told_where_it_is_not_allowed(tmp_path: Path, allowed: bool) -> None:
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), tmp_path / "model.joblib")
    write_bundle(
        tmp_path / "model.joblib",
        name="new",
        version="1",
        out=tmp_path / "b",
        features=["x"],
        now_ms=0,
        allow_pickle=True,
    )
    shadow = dataclasses.replace(SETTINGS.shadow[0], model=str(tmp_path / "b"), allow_pickle=allowed)
    wrong = bundle_facts(SETTINGS, shadow).wrong
    assert ("'allow_pickle = true'" in wrong) is not allowed


def test_features_that_requests_do_not_bring() -> None:
    found = only(with_samples(requests=good("requests", features={"age": 1, "Income": 2})))
    assert (found.severity, found.check) == ("problem", "features")
    assert "'income' (100)" in found.evidence
    assert diagnose(with_samples(requests=good("requests", features=[1, 2]))).findings == ()
    assert "3 (100)" in only(with_samples(requests=good("requests", features=[1, 2, 3]))).evidence


def test_stages_that_do_not_run() -> None:
    never = GroupFacts("judge", "DEAD")
    assert only(evidence(groups={"churn.judge": never})).severity == "warning"
    stopped = GroupFacts("judge", "EMPTY", behind=500, leftover=16, ever=True)
    found = only(evidence(groups={"churn.judge": stopped}))
    assert found.severity == "problem"
    assert "judge is 500 behind" in found.evidence


@pytest.mark.parametrize(
    ("behind", "moved", "severity"),
    [(16, 0, None), (17, 0, "problem"), (9_000, 100, None), (20_000, 100, "warning"), (20_000, 0, "problem")],
)
def test_stages_that_stand_still_or_fall_behind(behind: int, moved: int, severity: str | None) -> None:
    group = GroupFacts("judge", "STABLE", 1, behind=behind, leftover=16, moved=moved, seconds=5, ever=True)
    assert [one.severity for one in diagnose(evidence(groups={"churn.judge": group})).findings] == [severity][
        : bool(severity)
    ]


def test_an_open_transaction_and_dead_letters_are_told() -> None:
    held = (HeldUp("churn.comparisons", 2, 120, 34, 6.0), HeldUp("churn.comparisons", 1, 10, 2, 6.0))
    assert (
        "churn.comparisons[2] stands at offset 120, 34 records before its end" in only(evidence(held_up=held)).evidence
    )
    letter = encode(DeadLetter("churn.requests", 1, 2, "duplicate", NOW_MS, "k", None))
    found = only(with_samples(**{"dead-letters": sampled("dead-letters", [(b"k", letter, NOW_MS)] * 3)}))
    assert found.evidence == "about 400 dead letters; the newest 3: 3 of churn.requests: duplicate."


def test_verdicts_that_are_older_than_their_partials_are_a_problem() -> None:
    found = only(evidence(stale={"live@1~new@2": 95.4, "live@1~old@1": 21.0}))
    assert (found.check, found.severity) == ("verdicts", "problem")
    assert "live@1~new@2 have not been published for 95 s; 2 trials in all" in found.evidence
    assert "`shadowbus agents`" in found.fix


def test_nothing_arrived() -> None:
    topics = {name: dataclasses.replace(one, records=0) for name, one in facts().items()}
    assert "churn.requests and churn.predictions are empty" in only(evidence(topics=topics, samples={})).evidence


def look(at: float, end: int, committed_end: int, lag: int) -> Look:
    limits = {("churn.requests", partition): Bounds(0, end, committed_end) for partition in range(PARTITIONS)}
    group = GroupState("churn.new.replay", "STABLE", 1, {"churn.requests": lag}, ever=True)
    return Look(at, limits, {"churn.new.replay": group}, {"churn.requests": PARTITIONS * end})


def test_two_looks_tell_who_moves() -> None:
    before = look(0, 100, 100, 50)
    assert stands_still(before, look(5, 100, 100, 50))
    assert not stands_still(before, look(5, 100, 100, 49)), "it took one"
    assert not stands_still(before, look(5, 110, 110, 50)), "it took what came"
    assert not stands_still(look(0, 100, 100, 8), look(5, 100, 100, 8)), "only markers are left"


def test_only_a_transaction_that_stays_open_holds_up() -> None:
    open_at_90 = look(0, 100, 90, 0)
    assert held_up(open_at_90, look(6, 120, 90, 0))[0] == HeldUp("churn.requests", 0, 90, 30, 6)
    assert held_up(open_at_90, look(6, 120, 110, 0)) == ()
    assert held_up(open_at_90, look(6, 100, 100, 0)) == ()


def test_every_check_has_a_section_in_the_documentation() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    assert re.findall(r"^### `([a-z-]+)`", page, re.MULTILINE) == ["kafka", *CHECKS]
