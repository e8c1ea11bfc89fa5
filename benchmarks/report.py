"""results.json and results.md: what was measured, nothing else, and what it was measured on."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

Document = Mapping[str, Any]


def write_results(document: Document, folder: Path) -> None:
    """Write both files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    (folder / "results.md").write_text(markdown(document))


def markdown(document: Document) -> str:
    """The results as a page."""
    parts = ["# Results", "Written by `make bench`; the same figures are in [results.json](results.json)."]
    parts += [_machine(document["machine"])]
    for key, section in _SECTIONS.items():
        if document.get(key):
            parts += section(document)
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    first, *others = (f"| {' | '.join(line)} |" for line in (head, *rows))
    return "\n".join([first, "|---" * len(head) + "|", *others])


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB, {machine['system']} on "
        f"{machine['processor']}. Broker, candidate and measuring share them. {versions}."
    )


def _rows(document: Document) -> list[str]:
    rows = document["rows"]
    speeds = {row["name"]: row["pairs_per_s"] for row in rows}
    limit, ours = speeds.get("raw-copy"), speeds.get("shadowbus")
    paired = document.get("ratio", {}).get("median")
    head = ["candidate", "pairs/s", "of the raw copy", "shadowbus is", "CPU µs/pair", "broker µs/pair", "peak MiB"]
    lines = []
    for row in sorted(rows, key=lambda row: row["pairs_per_s"], reverse=True):
        share = paired if row["name"] == "shadowbus" and paired else limit and row["pairs_per_s"] / limit
        times = f"{ours / row['pairs_per_s']:.1f} times" if ours and row["name"] != "shadowbus" else ""
        figures = [
            f"{row['pairs_per_s']:,.0f}",
            f"{share:.2f}" if share else "",
            times,
            f"{row['cpu_us_per_pair']:.1f}",
        ]
        figures += [f"{row['broker_us_per_pair']:.1f}", f"{row['peak_mib']:.0f}", row["guarantee"]]
        lines.append([row["name"], *figures, f"{row['pairs']:,}", f"{row['unique']:,}"])
    text = (
        "The same records, four partitions, one worker each (shadowbus: a worker and its model process). Every "
        "comparison was counted, and checked against the model. shadowbus and the raw copy took turns: the row is the "
        "round of median speed, and its share of the raw copy the median over the rounds."
    )
    return ["## Speed", table([*head, "guarantee", "pairs", "unique"], lines), text]


def _latency(document: Document) -> list[str]:
    lines = [
        [f"{one['pairs_per_s']:,}", *(f"{one[key]:.0f}" for key in ("p50_ms", "p99_ms", "max_ms")), f"{one['pairs']:,}"]
        for one in document["latency"]
    ]
    head = ["pairs/s", "p50 ms", "p99 ms", "longest ms", "pairs"]
    return ["## Latency", "From a live prediction to its comparison, committed.", table(head, lines)]


def _models(document: Document) -> list[str]:
    lines = [
        [one["name"], f"{one['own_rows_per_s']:,.0f}", f"{one['pairs_per_s']:,.0f}", f"{one['ratio']:.2f}"]
        for one in document["models"]
    ]
    about = "\n".join(f"- {one['name']}: `{one['description']}`" for one in document["models"])
    text = "The stage against `predict_proba` alone, in batches, over the same rows, on one thread."
    return ["## Heavier models", text, table(["model", "alone, rows/s", "stage, pairs/s", "ratio"], lines), about]


def _scaling(document: Document) -> list[str]:
    lines = [
        [str(one["partitions"]), str(one["workers"])]
        + (["failed", ""] if "failed" in one else [f"{one['pairs_per_s']:,.0f}", f"{one['cpu_us_per_pair']:.1f}"])
        for one in document["scaling"]
    ]
    return ["## Scaling", table(["partitions", "workers", "pairs/s", "CPU µs/pair"], lines)]


def _backlog(document: Document) -> list[str]:
    lines = []
    for name, title in (("whole", "of whole pairs"), ("hour_apart", "inputs an hour apart")):
        one = document["backlog"][name]
        if "failed" in one:
            lines.append([title, f"{one['pairs']:,}", f"failed: {one['failed']}", "", "", ""])
            continue
        memory = [" · ".join(f"{mib:.0f}" for mib in one[key]) for key in ("worker_mib", "model_mib")]
        lines.append([title, f"{one['pairs']:,}", f"{one['compared']:,}", f"{one['pairs_per_s']:,.0f}", *memory])
    head = ["backlog", "pairs", "compared", "pairs/s", "worker MiB", "model MiB"]
    limit = f"{document['backlog']['hour_apart']['max_pending']:,}"
    text = f"Memory is the peak in each quarter of the work. Of the second, at most {limit} may wait in memory."
    return ["## Backlogs", table(head, lines), text]


def _judge(document: Document) -> list[str]:
    one = document["judge"]
    lines = []
    for title, each in (
        ("labels alone", one["labels_alone"]),
        ("and as many new comparisons", one["labels_and_comparisons"]),
    ):
        costs = [f"{each['cpu_us_per_join']:.1f}", f"{each['broker_us_per_join']:.1f}", f"{each['peak_mib']:.0f}"]
        lines.append([title, f"{each['joins_per_s']:,.0f}", *costs, f"{each['joins']:,}"])
    head = ["what comes", "joins/s", "CPU µs/join", "broker µs/join", "peak MiB", "joins"]
    text = (
        f"One worker, four partitions, {one['waiting']:,} comparisons waiting, {one['bytes_per_entry']:.0f} bytes of "
        "disk each; labels of comparisons drawn at random. Every outcome was counted."
    )
    restored = (
        f"Taken back into an empty folder: {one['restored_per_s']:,.0f} records/s, {one['restore_cpu_us']:.1f} µs of "
        "processor time each."
    )
    return ["## Judge", table(head, lines), text, restored]


def _backtest(document: Document) -> list[str]:
    lines = [
        [
            one["format"],
            *(f"{one[key]:,.0f}" for key in ("rows", "seconds", "rows_per_s")),
            f"{one['cpu_us_per_row']:.1f}",
        ]
        for one in document["backtest"]
    ]
    text = "Requests, predictions and labels from files, the model loaded, every record written; no Kafka."
    return ["## Backtest", text, table(["files", "rows", "seconds", "rows/s", "CPU µs/row"], lines)]


_SECTIONS = {
    "rows": _rows,
    "latency": _latency,
    "models": _models,
    "scaling": _scaling,
    "backlog": _backlog,
    "judge": _judge,
    "backtest": _backtest,
}
