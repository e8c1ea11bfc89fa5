"""What shadowbus exports to Prometheus beside the metrics of `summary/metrics.py`: names, kinds, labels, sentences.

The exporter and docs/prometheus.md are made from these tables; dashboards and alert rules are tested against them.
Counters begin at 0 with their process, as Prometheus wants it.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Exported:
    """One metric. `name` is as it is queried; a histogram has `_bucket`, `_sum` and `_count` behind it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    says: str


WHO = ("stage", "shadow")
"""Whose numbers they are; `shadow` is empty for stages that have none."""

COMMIT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

WORKERS = (
    Exported("shadowbus_worker_info", "gauge", (*WHO, "worker", "version"), "Always 1: which worker this is."),
    Exported("shadowbus_records_read_total", "counter", (*WHO, "topic"), "Records taken from Kafka."),
    Exported(
        "shadowbus_records_written_total",
        "counter",
        (*WHO, "topic"),
        "Records handed to Kafka; those of a transaction that was aborted are written, and counted, once more.",
    ),
    Exported("shadowbus_batches_total", "counter", WHO, "Batches of records given to the stage."),
    Exported("shadowbus_dead_letters_total", "counter", WHO, "Records that could not be used and were set aside."),
    Exported(
        "shadowbus_commit_seconds",
        "histogram",
        WHO,
        "What a commit took: positions sent and the transaction ended; of the agents, what publishing took.",
    ),
    Exported(
        "shadowbus_last_commit_timestamp_seconds",
        "gauge",
        WHO,
        "When the last commit ended, Unix time, and of the agents when they last looked for what to publish; 0: never.",
    ),
    Exported(
        "shadowbus_unpublished_since_timestamp_seconds",
        "gauge",
        WHO,
        "Of the agents: since when totals that they have read wait to be published, Unix time; 0: none waits.",
    ),
    Exported(
        "shadowbus_began_again_total",
        "counter",
        WHO,
        "How often the worker began again from what is committed, because something failed that passes by itself.",
    ),
    Exported("shadowbus_partitions_held", "gauge", WHO, "Source partitions that this worker holds now."),
    Exported(
        "shadowbus_lag_records",
        "gauge",
        (*WHO, "topic", "partition"),
        "Records of an input that are not yet taken, of the partitions held.",
    ),
)

REPORTED = (
    Exported(
        "shadowbus_books_records",
        "gauge",
        (*WHO, "topic", "entry"),
        "The account books of the partitions held, since their beginning: what was `read`, and what became of it; "
        "`waiting` is what is pending now.",
    ),
    Exported("shadowbus_replay_share", "gauge", WHO, "The share of request ids that is replayed now, the smallest."),
    Exported("shadowbus_model_rows_total", "counter", WHO, "Rows that the shadow's model answered."),
    Exported("shadowbus_model_batches_total", "counter", WHO, "Batches in which it did."),
    Exported(
        "shadowbus_model_restarts_total", "counter", (*WHO, "kind"), "Model processes replaced, by how they ended."
    ),
    Exported("shadowbus_model_loads_total", "counter", WHO, "How often the bundle was loaded."),
    Exported(
        "shadowbus_model_detours_total",
        "counter",
        (*WHO, "way"),
        "How often a quicker way to the same answers failed, by way: matrix, batch, alone, missing.",
    ),
    Exported("shadowbus_model_given_up", "gauge", WHO, "1 while one of these ways is not taken; the vitals say why."),
    Exported(
        "shadowbus_model_network_missed_total", "counter", WHO, "How often it sent something and has no network for it."
    ),
    Exported("shadowbus_model_isolated", "gauge", WHO, "1 where the model has no network, 0 where it reaches one."),
    Exported("shadowbus_model_cpu_seconds_total", "counter", WHO, "CPU seconds of the model's processes."),
    Exported("shadowbus_model_resident_bytes", "gauge", WHO, "Resident memory of the model's processes."),
    Exported(
        "shadowbus_model_circuit_open", "gauge", WHO, "1 while the model is not asked, because it fails too often."
    ),
    Exported("shadowbus_model_circuit_opened_total", "counter", WHO, "How often that began."),
)

TRIALS = (
    Exported("shadowbus_verdict", "gauge", ("trial", "verdict"), "1 for the verdict that stands, 0 for the others."),
    Exported(
        "shadowbus_trial_fault",
        "gauge",
        ("trial",),
        "1 while the trial cannot be decided: `fault` in its record of the verdicts topic says why. Else 0.",
    ),
    Exported(
        "shadowbus_verdict_decided_timestamp_seconds",
        "gauge",
        ("trial",),
        "Of when the evidence of the verdict is, Unix time.",
    ),
    Exported(
        "shadowbus_needed_requests", "gauge", ("trial",), "Requests until the next verdict, where that can be said."
    ),
    Exported("shadowbus_needed_labels", "gauge", ("trial",), "Labels until the next verdict, where that can be said."),
    Exported("shadowbus_criterion_value", "gauge", ("trial", "criterion"), "What was seen."),
    Exported("shadowbus_criterion_low", "gauge", ("trial", "criterion"), "The lower end of what is still possible."),
    Exported("shadowbus_criterion_high", "gauge", ("trial", "criterion"), "The upper end of what is still possible."),
    Exported("shadowbus_criterion_limit", "gauge", ("trial", "criterion"), "The limit that the settings set."),
    Exported(
        "shadowbus_criterion_state",
        "gauge",
        ("trial", "criterion", "state"),
        "1 for the state it is in (holds, fails, open), 0 for the others.",
    ),
    Exported(
        "shadowbus_trial_comparisons_total", "counter", ("trial", "status"), "Comparisons counted, by how they ended."
    ),
    Exported("shadowbus_books_gap", "gauge", ("trial",), "Records of the trial that are unaccounted for."),
    Exported("shadowbus_books_settled", "gauge", ("trial",), "1 when counted and claimed comparisons agree."),
    Exported("shadowbus_trial_share", "gauge", ("trial",), "The share of request ids that is replayed now."),
    Exported("shadowbus_trials_left_out", "gauge", (), "Trials that are not exported, because there are too many."),
    Exported(
        "shadowbus_segments_left_out", "gauge", ("trial",), "Segments that are not exported, for the same reason."
    ),
    Exported(
        "shadowbus_criteria_left_out", "gauge", ("trial",), "Criteria that are not exported, for the same reason."
    ),
)

OF_WORKERS = {metric.name: metric for metric in (*WORKERS, *REPORTED)}
