"""The demo's traffic: customers who call whenever they like, and the truth about each call some seconds later.

In: the address of the production service, and of its twin without the tap. Out: calls, labels, and a progress file.
Guaranteed: an open loop. Calls arrive at random (a Poisson process) whether or not earlier ones were answered, as
customers do; a service that slows down is not spared. Runs as a process of its own, so that nothing else the demo does
is part of what it measures.

    python -m shadowbus.demo.traffic --settings shadow.toml --production URL --twin URL --progress FILE
"""

import argparse
import asyncio
import importlib.util
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from shadowbus.capture import Tap
from shadowbus.clock import Deadline, monotonic
from shadowbus.demo.customer import Customer
from shadowbus.demo.digits import held_out
from shadowbus.demo.paired import PairedLatency, Percentiles, compare_latencies
from shadowbus.demo.progress import Phase, Progress, recent_rate
from shadowbus.demo.truth import Truth
from shadowbus.settings import load_settings

CALL_S = 15.0
CONNECTIONS = 64
REPORT_S = 0.25
WARM_UP_CALLS = 40
PAIRS = 400
PAIRS_S = 12.0
SEED = 20_260_101


async def measure_pairs(customer: Customer, twin: httpx.AsyncClient, count: int) -> PairedLatency | None:
    """What the tap costs: `count` pairs, one after the other, or as many as there is time for."""
    deadline = Deadline.after(PAIRS_S)
    for _ in range(WARM_UP_CALLS):
        await customer.pair(twin)
    both: list[tuple[float, float]] = []
    while len(both) < count and not deadline.passed:
        pair = await customer.pair(twin)
        both += [pair] if pair is not None else []
    return compare_latencies([pair[0] for pair in both], [pair[1] for pair in both]) if both else None


async def arrivals(customer: Customer, seconds: float, rate: float, chance: random.Random) -> None:
    """Call at random moments, `rate` a second on average, whether or not earlier calls were answered.

    A machine too busy for the rate makes fewer calls, not a longer run.
    """
    due = monotonic()
    deadline = Deadline(due + seconds)
    async with asyncio.TaskGroup() as under_way:
        while (due := due + chance.expovariate(rate)) < deadline.at and not deadline.passed:
            await asyncio.sleep(max(0.0, due - monotonic()))
            under_way.create_task(customer.call())


class Run:
    """One run of the traffic, from the first call to the last label."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._chance = random.Random(options.seed)  # noqa: S311
        settings = load_settings(options.settings)
        self._tap = Tap(settings.namespace, settings.kafka_for("producer"), model="truth@1")
        self._truth = Truth(self._tap, self._chance)
        self._progress = Progress()

    async def run(self) -> None:
        """Warm up, measure pairs, make traffic, deliver the last labels."""
        options = self._options
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS, keepalive_expiry=20.0)
        async with (
            httpx.AsyncClient(base_url=options.production, timeout=CALL_S, limits=limits) as production,
            httpx.AsyncClient(base_url=options.twin, timeout=CALL_S, limits=limits) as twin,
            asyncio.TaskGroup() as beside,
        ):
            customer = Customer(production, held_out(), self._truth, self._chance)
            reporting = beside.create_task(self._report(customer))
            delivering = beside.create_task(self._truth.deliver())
            self._enter("pairs")
            cost = await measure_pairs(customer, twin, options.pairs)
            self._progress = replace(self._progress, pairs=cost)
            self._enter("traffic")
            await arrivals(customer, options.seconds, options.rate, self._chance)
            self._enter("labels")
            self._truth.complete()
            await delivering
            reporting.cancel()
        await asyncio.to_thread(self._tap.close)
        self._enter("done")
        self._write(customer)

    def _enter(self, phase: Phase) -> None:
        self._progress = replace(self._progress, phase=phase)

    async def _report(self, customer: Customer) -> None:
        while True:
            self._write(customer)
            await asyncio.sleep(REPORT_S)

    def _write(self, customer: Customer) -> None:
        self._progress = replace(
            self._progress,
            calls=customer.calls,
            errors=customer.errors,
            rate=recent_rate(list(customer.moments), monotonic()),
            latency=Percentiles.of(customer.latencies_ms),
            labels=self._truth.sent,
            labels_waiting=self._truth.waiting,
            labels_lost=self._tap.counters().lost,
            trouble=customer.trouble,
        )
        self._progress.write(self._options.progress)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make traffic as the command line says."""
    parser = argparse.ArgumentParser(description="Customers of the demo's service.")
    parser.add_argument("--settings", type=Path, required=True, help="the shadow.toml, for the labels")
    parser.add_argument("--production", required=True, help="the service's address")
    parser.add_argument("--twin", required=True, help="the address of the same service without the tap")
    parser.add_argument("--progress", type=Path, required=True, help="the file to tell progress in")
    parser.add_argument("--seconds", type=float, default=90)
    parser.add_argument("--rate", type=float, default=60)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    _forget_sniffio()
    asyncio.run(Run(options).run())


def _forget_sniffio() -> None:
    """Where sniffio is not installed, say so once.

    httpcore tries to import it several times for each call, and each time Python searches the whole path: measured,
    more than half of what a call costs.
    """
    if importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]


if __name__ == "__main__":
    main()
