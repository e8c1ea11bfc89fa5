"""`make docs`: writes the generated parts of the documentation anew.

Between `<!-- generated: NAME -->` and `<!-- /generated -->` stands what comes from the code: the flow and the tables of
stages and topics from `topology.py`, the settings from the dataclasses of `settings/`. All else is written by hand.
In `docs/schemas/` lies a JSON Schema for each topic that other programs read or write, from `records/`;
docs/asyncapi.json has them all. `tests/unit/test_docs.py` compares.
"""

import dataclasses
import functools
import json
import re
import sys
import tomllib
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.json import schema as json_schema

from shadowbus import asyncapi, records
from shadowbus.exporter import metrics as exported
from shadowbus.exporter.trial import OF_TRIALS
from shadowbus.rights import USES, Names, Right, needed_for
from shadowbus.settings import (
    AggregateSettings,
    CostSettings,
    GateSettings,
    JudgeSettings,
    MetricsSettings,
    RekeySettings,
    ReplaySettings,
    Settings,
    ShadowSettings,
    WorkerSettings,
)
from shadowbus.settings.backtest import BacktestSettings
from shadowbus.settings.promotion import PromotionSettings
from shadowbus.settings.segment import SegmentSettings
from shadowbus.settings.webhook import NotifySettings
from shadowbus.summary import metrics as summary
from shadowbus.summary.metric import Metric
from shadowbus.topology import STAGES, TOPICS, mermaid
from shadowbus.verdict.criteria import CRITERIA
from shadowbus.verdict.states import MOVES

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    "README.md",
    "docs/architecture.md",
    "docs/metrics.md",
    "docs/operations.md",
    "docs/prometheus.md",
    "docs/settings.md",
    "docs/verdict.md",
)
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- /generated -->)", re.DOTALL)

TABLES: dict[str, type] = {
    "": Settings,
    "shadow": ShadowSettings,
    "segment": SegmentSettings,
    "cost": CostSettings,
    "notify": NotifySettings,
    "gate": GateSettings,
    "rekey": RekeySettings,
    "replay": ReplaySettings,
    "judge": JudgeSettings,
    "aggregate": AggregateSettings,
    "worker": WorkerSettings,
    "promotion": PromotionSettings,
    "metrics": MetricsSettings,
    "backtest": BacktestSettings,
}

RECORDS: dict[str, type] = {
    "requests": records.Request,
    "predictions": records.Prediction,
    "labels": records.Label,
    "comparisons": records.Comparison,
    "outcomes": records.Outcome,
    "vitals": records.Vitals,
    "aggregates": records.Aggregate,
    "verdicts": records.Verdict,
    "dead-letters": records.DeadLetter,
}
"""The topics that other programs write or read; what else there is belongs to the stages."""

BESIDE: dict[str, type] = {"verdicts/told": records.Told, "verdicts/promotion": records.Promotion}
"""What else lies in a topic, under keys of its own."""

CANDIDATES = {
    "shadowbus": "**shadowbus**",
    "raw-copy": "only a transactional copy, in one Python process",
    "bytewax-batched": "Bytewax, batched",
    "plain": "a plain confluent-kafka script",
    "quix-stateful": "Quix Streams",
    "faust": "Faust, one by one",
}
"""The benchmark's candidates that the README shows, and what it calls them."""

WORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "comparisons": {"status": records.STATUSES},
    "verdicts": {"verdict": ("PROMOTE", "SEND_BACK", "KEEP_WATCHING")},
}
"""Fields that are one of a few words."""

MEANINGS = {
    "namespace": "The prefix of all topics (`<namespace>.requests` and so on): letters, digits, `.`, `_` and `-`.",
    "partitions": "How many partitions every topic has; the most workers that can share one stage.",
    "live_trained_until": "The time of the newest record that the live model was trained on, ISO 8601 or milliseconds: "
    "requests from before it are no evidence either. Else what the bundle of a `control` says; off: not known.",
    "replication": "The replication factor of topics created by `shadowbus topics --create`; -1: the broker's "
    "`default.replication.factor`.",
    "shadow.name": "What the shadow is called in topic names, trials and on the command line.",
    "shadow.model": "The folder of its bundle, relative to the settings file.",
    "shadow.task": "How answers are compared: `classification`, `regression`, `ranking`, `vector`, `text`, `json`, or "
    "a function of yours as `package.module:function`; see [answers](answers.md).",
    "shadow.options": "What the task allows, such as `absolute_tolerance` and `relative_tolerance` of `regression`.",
    "shadow.timeout_ms": "How long one request may take alone; several together have twice that, and at least 1 s.",
    "shadow.allow_pickle": "Whether a joblib or pickle bundle may be opened; opening it runs the code in it.",
    "shadow.mlflow_model": "Its registered model in MLflow, if not that of `[promotion]`.",
    "shadow.trusted_types": "Full names of functions and classes (no estimators) that a skops bundle may contain "
    "beside those that skops trusts.",
    "shadow.threads": "How many threads each of the model's numerical libraries may use (BLAS, OpenMP, joblib).",
    "shadow.memory_mb": "Memory limit in MB: for loading the model, and for its growth after that.",
    "shadow.load_seconds": "How long loading the bundle may take.",
    "shadow.network": "Whether the model may use the network; what it sends there is then sent a second time "
    "for each request.",
    "shadow.environment": "Names of environment variables that the model gets beside those that libraries need.",
    "shadow.control": "A copy of the champion; its disagreement is the noise floor subtracted from the other shadows'.",
    "segment.name": "Its name; a segment of this name in the request itself takes precedence.",
    "segment.feature": 'The feature that it is computed from; for features in a list its position, such as `"0"`.',
    "segment.values": 'The values that get a segment each, as text (`"3"`, `"true"`); all others are `other`.',
    "segment.edges": "Or: where numbers are cut; `[100, 1000]` gives `under 100`, `100 to 1000`, `1000 or more`.",
    "cost.label": "The true class, as labels name it.",
    "cost.prediction": "The answered class, as models name it.",
    "cost.cost": "What that costs, in your unit; below 0 is a gain. Other pairs cost 0.",
    "notify.name": "The name of the receiver; what it was sent is kept under this name.",
    "notify.url": "The address to post to, such as a chat's incoming webhook; as `${NAME}` if it is a secret.",
    "notify.format": "`chat`: a text, as Slack and its likes take it; `json`: the record. "
    "See [notifications](notifications.md).",
    "notify.on": "Which verdicts to post, of `PROMOTE`, `KEEP_WATCHING` and `SEND_BACK`.",
    "notify.link": "An address to put into each message, such as the dashboard's.",
    "notify.secret": "The key that signs each post (HMAC-SHA256).",
    "notify.timeout_seconds": "Deadline for a whole post, from name lookup to the answer, in seconds; 60 at most.",
    "promotion.approval": "Whether one person must request a promotion and another approve it.",
    "promotion.mlflow_uri": "MLflow's tracking server, in whose registry the alias moves; needs `shadowbus[mlflow]`.",
    "promotion.mlflow_model": "The registered model; by default the name of the shadow. Versions are the shadow's.",
    "promotion.alias": "The alias of the model that serves.",
    "promotion.rejected_alias": "The alias of the version that was sent back most recently.",
    "promotion.command": "Or: a program and its arguments, as a list; no shell. See [promotion](promotion.md).",
    "promotion.webhook": "Or: an address to post to.",
    "promotion.secret": "The key that signs the posts (HMAC-SHA256).",
    "promotion.timeout_seconds": "How long the command, all tries to post, or the registry may take; 3600 at most.",
    "gate.alpha": "The largest probability of a wrong verdict, over all looks together.",
    "gate.min_requests": "No PROMOTE before this many requests have a comparison, with any status.",
    "gate.min_labels": "No PROMOTE before this many labels are joined with their comparison.",
    "gate.latency_budget_ms": "How many milliseconds one request may take; needs `max_over_budget`.",
    "gate.max_cpu_ms_per_row": "The most CPU milliseconds that a row may take, as measured.",
    "gate.max_memory_mb": "The most MiB that its largest model process may hold, as measured.",
    "gate.min_days": "No PROMOTE before this many days with traffic; 7 is a full week. At most 400.",
    "gate.labels_at_random": "You vouch that labels are missing for reasons unrelated to the answers.",
    "gate.guard_segments": "Whether a segment that is shown to be worse by more than the margin leads to SEND BACK; "
    "one that seems so holds PROMOTE back.",
    "gate.prove_segments": "Whether PROMOTE needs each segment with labels shown not to be worse by more than that.",
    "rekey.requests": "The full name of a topic of requests with other keys; empty if there is none.",
    "rekey.predictions": "The same for predictions.",
    "rekey.labels": "The same for labels.",
    "rekey.id_field": "The field with the request id; with dots for nested fields: `meta.id`.",
    "replay.join_window_ms": "How long a request waits for its prediction, and a prediction for its request.",
    "replay.remember_ids": "How many answered ids each partition remembers at least, to detect duplicates.",
    "replay.max_pending": "How many records may wait in one worker before the input that is ahead is paused.",
    "replay.max_batch": "The largest batch of rows for the model.",
    "replay.timed": "What latencies of your own are of, where records do not say: `exchange`, `call` or `model`.",
    "replay.single_row_share": "The share of idle time for single rows (`latency_ms`); more or less as verdicts wait.",
    "replay.keep_share": "The share of request ids that is replayed, chosen by id; each comparison then has a weight.",
    "replay.shed_when_behind_seconds": "From which lag on the share is cut in halves until replay keeps up; 0: never.",
    "replay.min_share": "Below which the share is never cut.",
    "replay.features_share": "The share of request ids whose features are kept in their comparisons; see "
    "[slices](slices.md) for what that means for privacy.",
    "judge.horizon_days": "How long a comparison waits for its label.",
    "judge.state_dir": "Where local state is kept, relative to the settings file; else `.shadowbus/<namespace>`.",
    "aggregate.window_seconds": "How long a window is, in the long run; in a trial's first hour they are shorter "
    "([metrics](metrics.md)).",
    "aggregate.keep_windows": "How many windows are kept, the newest.",
    "aggregate.publish_seconds": "How often totals, aggregates and verdicts are published.",
    "worker.commit_ms": "How often a worker commits: comparisons are visible about that long after they were made.",
    "worker.fetch_records": "How many records a worker takes from Kafka at once at most.",
    "worker.session_timeout_ms": "After how long without a heartbeat a worker's partitions go to others.",
    "worker.transaction_timeout_ms": "After how long Kafka aborts the transaction of a worker that is gone.",
    "worker.operation_seconds": "How long one call to Kafka may take, such as a commit; then the worker starts again.",
    "worker.restarts_without_progress": "How often in a row a worker starts again by itself "
    "without committing anything; then it ends with exit code 1. While Kafka is away it waits.",
    "worker.vitals_seconds": "How often each worker says how it is, with its account books.",
    "backtest.request_id": "The column of the request id; empty: rows are numbered.",
    "backtest.timestamp": "The column of the time; empty: rows are a millisecond apart.",
    "backtest.timestamp_unit": "What numbers in it count: `s`, `ms`, `us` or `ns`; empty: found out from the rows.",
    "backtest.timestamp_format": "How times are written, as for Python's strptime; empty: found out from the rows.",
    "backtest.features": "The columns of features; empty: every column that is named for nothing else.",
    "backtest.features_as_list": "Whether requests carry features as a list, in that order, not by name.",
    "backtest.ignore": "Columns that are no features, where these are not listed.",
    "backtest.text": "Columns of CSV files whose cells stay text, such as codes that look like numbers.",
    "backtest.numbers": "Columns of CSV files that hold numbers, however many of their cells are none.",
    "backtest.decimal": "The decimal sign of numbers in CSV files, `.` or `,`; empty: found out for each column.",
    "backtest.thousands": "The sign between thousands, `,`, `.`, `'` or a space; empty: found out for each column.",
    "backtest.missing": "The words for missing in CSV files; empty: the usual ones.",
    "backtest.encoding": "The encoding of text files, such as `windows-1252`; empty: UTF-8, or as they begin.",
    "backtest.segments": "The columns of segments.",
    "backtest.model": "The live model, as `name@version`.",
    "backtest.model_column": "The column that names it, where there is one.",
    "backtest.prediction": "The column of the live model's answer.",
    "backtest.scores": "Its scores: a column of lists or objects, or one column for each class.",
    "backtest.classes": "What the columns of scores are called, in their order; else scores are a list.",
    "backtest.latency": "The column of its latency in milliseconds, where there is one.",
    "backtest.error": "The column of its error: text where it gave no answer.",
    "backtest.label": "The column of what really happened.",
    "backtest.label_timestamp": "The column of when that was known; empty: the time of its row, or of its request.",
    "backtest.label_probability": "The column of the probability with which it was chosen, where there is one.",
    "backtest.shadow_model": "The model of a shadow whose predictions were already made; empty: as its file says.",
    "backtest.shadow_prediction": "The column of that shadow's answer; empty: `prediction`, in a file of its own.",
    "backtest.shadow_scores": "Its scores.",
    "backtest.shadow_latency": "Its latency.",
    "backtest.shadow_error": "Its error.",
    "metrics.port": "Where each worker serves `/metrics` to [Prometheus](prometheus.md); 0: nowhere.",
    "metrics.host": "The address it listens at; `0.0.0.0` for others to reach it.",
}
"""One sentence for every setting; `[kafka]` has a section of its own."""


BEYOND_PROMISE = {
    "autocorrelated: hard hours, slightly worse": "only the hardness of requests comes in turns",
    "autocorrelated: moods of 500 requests, slightly worse": "4 % better and 4 % worse in turns of 500 requests",
    "autocorrelated: moods of 10,000 requests, slightly worse": "the same in turns of 10,000 requests",
    "autocorrelated: day and night, slightly worse": "better by day, worse by night",
    "autocorrelated: each request 5 times, slightly worse": "every request comes five times",
    "one segment 5 % worse, equal on the whole": "one of four segments 5 % worse, no difference on the whole",
}
"""Kinds of traffic of which the promise does not speak, in the words of docs/verdict.md."""


def flow() -> str:
    """The picture of the flow."""
    return f"```mermaid\n{mermaid()}```\n"


def stages() -> str:
    """The stages as a table."""
    rows = ["| stage | does | reads | writes | state | engine | guarantee |", "|---|---|---|---|---|---|---|"]
    for stage in STAGES:
        name = f"{stage.name} (one per shadow)" if stage.per_shadow else stage.name
        name += " (opt-in)" if stage.opt_in else ""
        reads, writes = ", ".join(stage.reads) or f"({stage.outside})", ", ".join(stage.writes)
        rows.append(
            f"| {name} | {stage.does} | {reads} | {writes} | {stage.state} | {stage.engine} | {stage.guarantee} |"
        )
    return "\n".join(rows) + "\n"


def topics() -> str:
    """The topics as a table."""
    rows = ["| topic | holds | kept |", "|---|---|---|"]
    for topic in TOPICS:
        name = topic.full_name("<namespace>", "<shadow>")
        kept = "newest per key" if topic.cleanup == "compact" else f"{topic.retention_ms // 86_400_000} days"
        rows.append(f"| `{name}` | {topic.holds} | {kept} |")
    return "\n".join(rows) + "\n"


def settings() -> str:
    """Every setting with its default and what it means.

    Raises:
        KeyError: A setting has no sentence in `MEANINGS`.
    """
    return "\n".join(_table(prefix, kind) for prefix, kind in TABLES.items())


def moves() -> str:
    """The legal moves of a verdict as a table."""
    rows = ["| stands | shown | becomes | `note` |", "|---|---|---|---|"]
    for row in MOVES:
        words = (word.replace("_", " ") for word in (row.stands, row.shown, row.becomes))
        stands, shown, becomes = words
        changed = f"**{becomes}**" if row.becomes != row.stands else becomes
        rows.append(f"| {stands} | {shown} | {changed} | {row.note} |")
    return "\n".join(rows) + "\n"


def simulated() -> str:
    """What the gate does not promise, in figures of its simulation."""
    found = json.loads((ROOT / "benchmarks/gate/results.json").read_text(encoding="utf-8"))
    rows = [
        "| traffic, shadow slightly worse in the long run | PROMOTE at some look | still at the last |",
        "|---|---|---|",
    ]
    by_traffic = {row["traffic"]: row for row in found["wrong"] if row["rule"] == "gate"}
    for traffic, words in BEYOND_PROMISE.items():
        row = by_traffic[traffic]
        rows.append(f"| {words} | {row['promote']:.1%} | {row['promote_last']:.1%} |")
    return "\n".join(rows) + "\n"


def rights() -> str:
    """What each stage and verb has to be allowed to do, as a table; topics without the namespace."""
    names = Names(
        "<namespace>", ("<shadow>",), {topic: f"[rekey] {topic}" for topic in ("requests", "predictions", "labels")}
    )
    rows = ["| for | READ topic | WRITE topic | else |", "|---|---|---|---|"]
    exports = [verb for verb in USES if verb.startswith("export")]
    for verb in [one for one in USES if one not in exports]:
        found = needed_for(verb, names)
        if len(USES[verb].stages) > 1:
            every = {right for stage in STAGES if stage.name != "capture" for right in needed_for(stage.name, names)}
            more = _else([right for right in found if right not in every])
            rows.append(f"| `{verb}` | all that stages read | all that they write | what stages need, {more} |")
            continue
        read, write = (_topics(found, operation) for operation in ("READ", "WRITE"))
        rows.append(f"| `{verb}` | {read} | {write} | {_else(found)} |")
    rows.append("| `export --topic TOPIC` | that topic | | |")
    return "\n".join(rows) + "\n"


def _topics(found: list[Right], operation: str) -> str:
    named = [right.name for right in found if (right.kind, right.operation) == ("TOPIC", operation)]
    return ", ".join(f"`{name.removeprefix('<namespace>.')}`" for name in named)


def _else(found: list[Right]) -> str:
    kinds = {"GROUP": "group", "TRANSACTIONAL_ID": "transactional ids"}
    parts = [
        f"{right.operation} {kinds[right.kind]} `{right.name}{'*' if right.prefixed else ''}`"
        for right in found
        if right.kind in kinds
    ]
    for operation in ("CREATE", "DESCRIBE", "DESCRIBE_CONFIGS"):
        if any((right.kind, right.operation) == ("TOPIC", operation) for right in found):
            parts.append(f"{operation} every topic")
        if any((right.kind, right.operation) == ("CLUSTER", operation) for right in found):
            parts.append(f"{operation} the cluster")
    return ", ".join(parts)


def setting_keys() -> Iterator[str]:
    """Every setting by its full name."""
    for prefix, kind in TABLES.items():
        for field in dataclasses.fields(kind):
            if (prefix or field.name not in TABLES) and field.name not in ("source", "kafka"):
                yield f"{prefix}.{field.name}".lstrip(".")


def summaries() -> dict[str, Callable[[], str]]:
    """The metrics of a trial as tables, by the name of the generated part."""
    return {f"summary_{name}": functools.partial(_summary, part) for name, part in summary.PARTS.items()}


def _summary(part: tuple[Metric, ...]) -> str:
    rows = ["| field | where | needs | unit | what it is |", "|---|---|---|---|---|"]
    where = {"windows": "W", "segments": "", "trial": "T"}
    for one in part:
        fields = f" `{{{one.fields}}}`" if one.fields else ""
        rows.append(f"| `{one.name}`{fields} | {where[one.where]} | {one.needs} | {one.unit} | {one.says} |")
    return "\n".join(rows) + "\n"


def criteria() -> str:
    """The criteria of a verdict as a table."""
    rows = ["| name | asks | setting | counted among |", "|---|---|---|---|"]
    rows += [f"| `{one.name}` | {one.asks} | `{one.settings[0]}` | {one.among} |" for one in CRITERIA]
    return "\n".join(rows) + "\n"


def metrics() -> str:
    """Every exported metric as tables."""
    parts = (
        ("Every worker", exported.WORKERS),
        ("From the vitals of replay and judge", exported.REPORTED),
        ("Trials, from the agents", tuple(OF_TRIALS.values())),
    )
    return "\n".join(_metrics(*part) for part in parts)


def speed() -> str:
    """The measured speed of the main candidates as a table, from the last `make bench`."""
    found = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    measured = {row["name"]: row for row in found["rows"]}
    ours = measured["shadowbus"]["pairs_per_s"]
    rows = ["| | comparisons/s | shadowbus is | guarantee |", "|---|---|---|---|"]
    for name, called in CANDIDATES.items():
        row = measured[name]
        ratio = found["ratio"]["median"] if name == "raw-copy" else ours / row["pairs_per_s"]
        times = "" if name == "shadowbus" else f"{ratio:.1f} times as fast"
        rows.append(f"| {called} | {row['pairs_per_s']:,.0f} | {times} | {row['guarantee']} |")
    (latency,) = [row for row in found["latency"] if row["wanted_pairs_per_s"] == 500]
    rows += [
        "",
        f"At 500 requests/s a comparison is committed {latency['p50_ms']:.0f} ms after its prediction (median; 99 %: "
        f"{latency['p99_ms']:.0f} ms).",
    ]
    return "\n".join(rows) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "flow": flow,
    "speed": speed,
    "stages": stages,
    "topics": topics,
    "settings": settings,
    "criteria": criteria,
    "metrics": metrics,
    **summaries(),
    "moves": moves,
    "simulated": simulated,
    "rights": rights,
}


def schema_of(where: str, kind: type) -> dict[str, typing.Any]:
    """The JSON Schema of what lies in a topic."""
    found = json_schema(kind, schema_hook=lambda _: {"description": "Any JSON value."})
    for field, words in WORDS.get(where, {}).items():
        found["$defs"][kind.__name__]["properties"][field]["enum"] = list(words)
    return found


def schemas() -> Iterator[tuple[str, str]]:
    """Where each topic's JSON Schema lies, and what it says; and the AsyncAPI document of all of them."""
    for where, kind in {**RECORDS, **BESIDE}.items():
        text = json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", **schema_of(where, kind)}, indent=2)
        yield f"docs/schemas/{where}.json", text + "\n"
    every = {**RECORDS, "partials": records.Partial, **BESIDE}
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    found = asyncapi.document({where: schema_of(where, kind) for where, kind in every.items()}, version)
    yield "docs/asyncapi.json", json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def renewed(page: str) -> str:
    """A page with its generated parts as they should be."""
    return _PART.sub(lambda part: f"{part[1]}{PARTS[part[2]]()}{part[3]}", page)


def main() -> None:
    """Write every page and schema that is not as it should be."""
    pages = ((name, renewed((ROOT / name).read_text(encoding="utf-8"))) for name in PAGES)
    for name, after in (*pages, *schemas()):
        page = ROOT / name
        page.parent.mkdir(exist_ok=True)
        if not page.exists() or page.read_text(encoding="utf-8") != after:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")


def _table(prefix: str, kind: type) -> str:
    several = {one: f"### `[[{one}]]`, one for each" for one in ("shadow", "segment", "cost", "notify")}
    heading = {"": "### At the top", **several}.get(prefix, f"### `[{prefix}]`")
    rows = [heading, "", "| key | type | default | meaning |", "|---|---|---|---|"]
    wanted = set(setting_keys())
    for field in dataclasses.fields(kind):
        name = f"{prefix}.{field.name}".lstrip(".")
        if name in wanted:
            rows.append(f"| `{field.name}` | {_type(kind, field.name)} | {_default(field)} | {_meaning(name, field)} |")
    return "\n".join(rows) + "\n"


def _metrics(heading: str, table: tuple[exported.Exported, ...]) -> str:
    rows = [f"### {heading}", "", "| metric | kind | labels | what it is |", "|---|---|---|---|"]
    for one in table:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {one.says} |")
    return "\n".join(rows) + "\n"


def _type(kind: type, name: str) -> str:
    hint = typing.get_type_hints(kind)[name]
    arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
    if typing.get_origin(hint) is tuple:
        return "list"
    if len(arms) > 1 and bool in arms:
        return "text, number, true or false"
    plain = arms[0] if arms and type(None) in typing.get_args(hint) else hint
    return {str: "text", int: "integer", float: "number", bool: "true or false"}.get(plain, "table")


def limits() -> Iterator[str]:
    """The settings whose meaning stands beside them: the limits of criteria."""
    return (f"gate.{field.name}" for field in dataclasses.fields(GateSettings) if "meaning" in field.metadata)


def _meaning(name: str, field: "dataclasses.Field[typing.Any]") -> str:
    return str(field.metadata["meaning"]) if "meaning" in field.metadata else MEANINGS[name]


def _default(field: "dataclasses.Field[typing.Any]") -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "empty"
    if field.default is dataclasses.MISSING:
        return "needed"
    if field.default is None:
        return "off"
    if field.default == ():
        return "empty"
    return (
        f"`{str(field.default).lower()}`"
        if isinstance(field.default, bool)
        else f"`{field.default!r}`".replace("'", '"')
    )


if __name__ == "__main__":
    main()
