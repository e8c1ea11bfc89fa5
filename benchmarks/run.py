"""`make bench`: the replay stage next to a raw transactional copy of the same records, in one run, on a real broker.

Usage: python benchmarks/run.py [--pairs N] [--rounds N]
"""

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path

import psutil
from confluent_kafka.admin import AdminClient, NewTopic
from measure import Row, measure
from workload import make_bundle, produce_pairs

from shadowbus.kafka.embedded import EmbeddedKafka
from shadowbus.kafka.topics import create_topics
from shadowbus.settings import load_settings

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds: list[list[Row]] = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedKafka(heap_mb=1024) as kafka:
        make_bundle(Path(folder))
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}: {options.pairs} pairs", file=sys.stderr)
            rounds.append(one_round(kafka.bootstrap, f"bench{number}", Path(folder), options.pairs))
    rows = [middle([r[i] for r in rounds]) for i in range(len(rounds[0]))]
    write(rows)


def one_round(bootstrap: str, namespace: str, folder: Path, pairs: int) -> list[Row]:
    """Fresh topics and records, then each candidate in turn."""
    config = folder / f"{namespace}.toml"
    config.write_text(
        f'namespace = "{namespace}"\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n'
        f'[[shadow]]\nname = "challenger"\nmodel = "{folder / "bundle"}"\n'
    )
    create_topics(load_settings(config))
    copies = [f"{namespace}.copied-{name}" for name in ("requests", "predictions")]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(topic, 4, 1) for topic in copies]).values():
        future.result()
    produce_pairs(bootstrap, namespace, pairs)
    python = sys.executable
    return [
        measure(
            "raw-copy",
            [python, str(HERE / "raw_copy.py"), bootstrap, namespace],
            bootstrap=bootstrap,
            topics=copies,
            pairs=pairs,
            guarantee="exactly once",
        ),
        measure(
            "shadowbus",
            [python, "-m", "shadowbus", "--config", str(config), "replay", "--shadow", "challenger"],
            bootstrap=bootstrap,
            topics=[f"{namespace}.comparisons"],
            pairs=pairs,
            guarantee="exactly once",
        ),
    ]


def middle(rows: list[Row]) -> Row:
    """The round whose speed is the median."""
    return sorted(rows, key=lambda row: row.pairs_per_s)[(len(rows) - 1) // 2]


def machine() -> dict[str, object]:
    return {
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }


def write(rows: list[Row]) -> None:
    """Write results.json and results.md, and print the table."""
    document = {"machine": machine(), "rows": [row.record() for row in rows]}
    (HERE / "results.json").write_text(json.dumps(document, indent=2) + "\n")
    limit = next(row.pairs_per_s for row in rows if row.name == "raw-copy")
    lines = ["| candidate | pairs/s | against the raw copy | CPU µs/pair | peak MiB | guarantee | pairs | unique |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    lines += [
        f"| {row.name} | {row.pairs_per_s:,.0f} | {row.pairs_per_s / limit:.2f} | {row.cpu_us_per_pair:.1f} "
        f"| {row.peak_mib:.0f} | {row.guarantee} | {row.pairs:,} | {row.unique:,} |"
        for row in rows
    ]
    about = ", ".join(f"{key} {value}" for key, value in machine().items())
    text = (
        "\n".join(lines)
        + f"\n\nBroker, worker and model on one machine ({about}). Figures of the median round; see `run.py`.\n"
    )
    (HERE / "results.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
