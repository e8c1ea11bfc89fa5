"""`shadowbus broker`: a real Kafka on this machine, for as long as the verb runs."""

from pathlib import Path
from typing import Annotated

import typer

from shadowbus.cli.console import emit, tell


def broker(
    port: Annotated[
        int, typer.Option(min=1, max=65_535, help="The first node's port; the others take the next.")
    ] = 19_092,
    nodes: Annotated[int, typer.Option(help="1, or 3 (any one may fail).")] = 1,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Keep the data here; deleted on exit if absent.")
    ] = None,
) -> None:
    """Serve Apache Kafka on this machine until Ctrl-C; says 'ready ADDRESS' once it does."""
    if nodes not in (1, 3):
        raise typer.BadParameter("has to be 1 or 3.", param_hint="--nodes")
    from shadowbus.broker.cluster import EmbeddedKafka, serve

    if data_dir is None:
        tell("Ctrl-C drops everything that is in this broker: --data-dir DIR keeps it.")

    serve(EmbeddedKafka(nodes=nodes, port=port, data_dir=data_dir), lambda address: emit(f"ready {address}"))
