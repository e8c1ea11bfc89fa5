"""An agent of your own, on Faust: how often both models agree, by country. Its table survives restarts.

SHADOWBUS_CONFIG=shadow.toml python examples/agent_faust.py
"""

import os
from pathlib import Path
from typing import Any

import faust

from shadowbus.agents.faust_app import make_app
from shadowbus.reading import topic_of
from shadowbus.records import Comparison, decode
from shadowbus.settings import load_settings

settings = load_settings(Path(os.environ.get("SHADOWBUS_CONFIG", "shadow.toml")))
app: Any = make_app(settings, "agreement", serializer="json")
comparisons = app.topic(topic_of(settings, Comparison), key_serializer="raw", value_serializer="raw")
counts = app.Table("counts", default=int, partitions=settings.partitions)


@app.agent(comparisons)
async def count(stream: Any) -> None:
    """Count; each source partition apart, as a table is kept where its partition is."""
    async for event in stream.events():
        comparison = decode(Comparison, event.value)
        if comparison.agree is not None:
            counts[f"{comparison.segments.get('country')}|{comparison.agree}|{event.message.partition}"] += 1


@app.timer(1.0)
async def show() -> None:
    """Add the partitions up."""
    sums: dict[str, list[int]] = {}
    for key, number in counts.items():
        country, agree, _ = key.split("|")
        sums.setdefault(country, [0, 0])[agree == "True"] += number
    for country, (differ, agree) in sorted(sums.items()):
        print(f"{country}: {agree} of {agree + differ} agree", flush=True)


if __name__ == "__main__":
    faust.Worker(app, loglevel="warn", redirect_stdouts=False).execute_from_commandline()
