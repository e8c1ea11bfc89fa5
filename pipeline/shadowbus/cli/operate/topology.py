"""`shadowbus topology`: the flow, from the same tables that everything else uses."""

from typing import Annotated

import typer

from shadowbus.cli.console import emit, output, table
from shadowbus.topology import STAGES, TOPICS, mermaid


def topology(
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid diagram.")] = False,
) -> None:
    """Show every stage: what it reads, writes, keeps and promises."""
    if as_mermaid:
        emit(mermaid().rstrip("\n"))
        return
    stages = table("Stages", "stage", "does", "reads", "writes", "state", "engine", "guarantee")
    for stage in STAGES:
        name = f"{stage.name} (one per shadow)" if stage.per_shadow else stage.name
        name += " (opt-in)" if stage.opt_in else ""
        reads, writes = ", ".join(stage.reads) or f"({stage.outside})", ", ".join(stage.writes)
        stages.add_row(name, stage.does, reads, writes, stage.state, stage.engine, stage.guarantee)
    topics = table("Topics", "topic", "holds", "kept")
    for topic in TOPICS:
        kept = "newest per key" if topic.cleanup == "compact" else f"{topic.retention_ms // 86_400_000} days"
        topics.add_row(topic.name, topic.holds, kept)
    console = output()
    console.print(stages)
    console.print()
    console.print(topics)
