"""`make bench-gate`: how often the gate is wrong when people look after every batch, and how long it takes.

Writes `results.md` and `results.json` beside this file; progress goes to stderr.
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import machine
from gate import methods
from gate.methods import Answer, answers
from gate.page import page
from gate.traffic import BATCH, KINDS
from gate.wrong import Row, rows
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

MOST_REQUESTS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="gate", description=__doc__)
    parser.add_argument("--trials", type=int, default=2_000)
    parser.add_argument("--requests", type=int, default=MOST_REQUESTS, help="of each trial")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="a folder")
    chosen = parser.parse_args()
    wrong: list[Row] = []
    sized: list[Answer] = []
    compared: list[Answer] = []
    looks, start = chosen.requests // BATCH, time.process_time()
    effects, rivals = methods.sized(), methods.compared()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as shown:
        bar = shown.add_task("", total=len(KINDS) + len(effects) + len(rivals))
        for number, traffic in enumerate(KINDS):
            shown.update(bar, description=traffic.name)
            wrong += rows(traffic, chosen.trials, looks, chosen.seed + number)
            shown.advance(bar)
        for questions, found, compare in ((effects, sized, False), (rivals, compared, True)):
            for question in questions:
                shown.update(bar, description=f"{question.statistic}: {question.effect}")
                found += answers(question, chosen.trials, chosen.seed, compare=compare)
                shown.advance(bar)
    told = {
        "trials": chosen.trials,
        "looks": looks,
        "seed": chosen.seed,
        "cpu_seconds": round(time.process_time() - start),
        "cpu": machine.cpu(),
    }
    write(chosen.out, told, wrong, sized, compared)


def write(out: Path, told: dict[str, object], wrong: list[Row], sized: list[Answer], compared: list[Answer]) -> None:
    """Both files."""
    listed = {
        "wrong": [dataclasses.asdict(row) for row in wrong],
        "sized": [dataclasses.asdict(one) for one in sized],
        "compared": [dataclasses.asdict(one) for one in compared],
    }
    (out / "results.json").write_text(json.dumps(told | listed, indent=1) + "\n", encoding="utf-8")
    (out / "results.md").write_text(page(told, wrong, sized, compared), encoding="utf-8")
    print(out / "results.md")


if __name__ == "__main__":
    main()
