"""Every stage on a broker of its own that goes away and comes back: when verdicts are current, and what was said."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from shadowbus.broker.cluster import EmbeddedKafka
from traffic import Reader, Stream

STAGES = ("replay-challenger-0", "judge-0", "aggregate-0", "decide-0", "agents-0")
PAIRS = 200
"""Sent at a time."""

CURRENT_S = 5.0
"""How much longer than ever a verdict may take to be current once the broker serves again, on an idle machine."""

LINES_A_SECOND = 5


@dataclass
class Outage:
    """`shadowbus up` on a broker of its own, and how far it has come."""

    kafka: EmbeddedKafka
    stream: Stream
    sent: int = 0

    def send(self) -> None:
        """Requests and predictions, which Kafka has when this returns."""
        self.stream.send_pairs([f"request-{number:06d}" for number in range(self.sent, self.sent + PAIRS)])
        self.sent += PAIRS

    def seconds_until_current(self, verdicts: Reader, seconds: float) -> float:
        """How long it takes from now until the verdict counts all that was sent."""
        started = time.monotonic()
        while not any(value is not None and json.loads(value)["requests"] >= self.sent for value in verdicts.raw[-20:]):
            verdicts.read(0.1)
            waited = time.monotonic() - started
            assert waited < seconds, f"{verdicts.raw[-1:]} after {waited:.0f} s of {self.sent}\n{self.said()}"
        return time.monotonic() - started

    def lines(self) -> dict[str, int]:
        """How many lines each process has written, as `up` relays them."""
        return Counter(line.partition(" | ")[0] if " | " in line else "up" for line in self.stream.logs().splitlines())

    def most_in_a_second(self) -> int:
        """The most lines that one process dated with the same second."""
        dated = (line.partition(" | ") for line in self.stream.logs().splitlines())
        return max(Counter((name, words[:19]) for name, _, words in dated if words).values(), default=0)

    def said(self) -> str:
        """The last that was said."""
        return "\n".join(line[:300] for line in self.stream.logs().splitlines()[-80:])


@contextmanager
def outage(folder: Path) -> Iterator[Outage]:
    """Every stage at work on a broker whose data outlive it."""
    (folder / "stream").mkdir()
    with EmbeddedKafka(data_dir=folder / "kafka") as kafka:
        stream = Stream(kafka.bootstrap, "outage", folder / "stream", extra="[gate]\nmin_requests = 100000\n")
        with stream.worker("up"):
            yield Outage(kafka, stream)


def busy() -> float:
    """How many times longer than on an idle machine a process takes to start: by the clock, against what it worked."""
    began, worked = time.monotonic(), psutil.Process().cpu_times()
    subprocess.run([sys.executable, "-c", "import shadowbus.replay.worker, sklearn.pipeline"], check=True)
    now = psutil.Process().cpu_times()
    cpu = now.children_user + now.children_system - worked.children_user - worked.children_system
    return max(1.0, (time.monotonic() - began) / max(cpu, 0.1))


def away(kafka: EmbeddedKafka, seconds: float, how: signal.Signals) -> tuple[float, float]:
    """Take the only broker away, killed or frozen, and bring it back.

    Returns:
        The moment from which it served again, and how busy the machine was meanwhile.
    """
    gone = time.monotonic()
    if how is signal.SIGSTOP:
        kafka.pause_node(1)
    else:
        kafka.kill_node(1)
    slower = busy()
    time.sleep(max(0.0, gone + seconds - time.monotonic()))
    if how is signal.SIGSTOP:
        kafka.resume_node(1)
    else:
        kafka.start_node(1)
    back = time.monotonic()
    sys.stdout.write(f"the broker was away for {back - gone:.1f} s; processes start {slower:.1f} times slower\n")
    return back, slower


def through_an_outage(running: Outage, seconds: float, how: signal.Signals) -> None:
    """Count what is sent before, take the broker away, and count what is sent as soon as it is back.

    Args:
        running: Everything.
        seconds: For how long it is away, at least.
        how: SIGKILL or SIGSTOP.
    """
    verdicts = Reader(running.kafka.bootstrap, running.stream.topic("verdicts"))
    running.send()
    running.seconds_until_current(verdicts, 90)
    running.send()
    usual = running.seconds_until_current(verdicts, 60)
    before = running.lines()
    back, slower = away(running.kafka, seconds, how)
    running.send()
    running.seconds_until_current(verdicts, 150)
    took = time.monotonic() - back
    slower = max(slower, busy())
    lines = {name: count - before[name] for name, count in running.lines().items()}
    rates = {name: f"{count / (seconds + took):.1f}" for name, count in lines.items()}
    report = f"usual {usual:.1f} s, after {seconds:.0f} s of {how.name} {took:.1f} s; lines a second {rates}"
    sys.stdout.write(f"{report}, most in one second {running.most_in_a_second()}\n")
    assert took < usual + CURRENT_S * slower, f"{report}\n{running.said()}"
    assert max(lines.values()) < LINES_A_SECOND * (seconds + took), f"{report}\n{running.said()}"
    assert running.most_in_a_second() < 4 * LINES_A_SECOND, running.said()
    verdicts.close()
