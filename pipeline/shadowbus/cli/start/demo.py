"""`shadowbus demo`: the whole thing, end to end, on this machine."""

from typing import Annotated

import typer


def demo(
    seconds: Annotated[float, typer.Option(min=1, help="How long to send traffic, in seconds.")] = 90,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests per second.")] = 60,
    keep: Annotated[bool, typer.Option("--keep", help="Keep everything running at the end, until Ctrl-C.")] = False,
) -> None:
    """Run a service, its shadows and a Kafka of its own, and watch verdicts come."""
    from shadowbus.demo.run import run_demo

    raise typer.Exit(run_demo(seconds=seconds, rate=rate, keep=keep))
