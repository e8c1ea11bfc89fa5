"""The dashboard over staged trials on a real broker, as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer
from playwright.sync_api import Page, ViewportSize

from shadowbus.clock import Deadline, now_ms
from shadowbus.kafka.topics import create_topics
from staged import CAST, CLASSES, Character, Staged, settings

START_S = 60.0
PICTURES = Path(os.environ.get("SHADOWBUS_PICTURES", "build/screenshots"))
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}

Look = Callable[..., Page]
"""Opens a page: at an address, with a `size` and a colour `scheme`."""


@dataclass
class Namespace:
    """The topics of one namespace, and staged trials that are published to them as the agents would."""

    bootstrap: str
    folder: Path
    name: str
    cast: dict[str, Character] = field(default_factory=lambda: dict(CAST))
    live: str = "champion@1"
    segments: tuple[str, ...] = ("weekday", "weekend")
    classes: tuple[str, ...] = CLASSES
    death: str = "the model process died"

    def __post_init__(self) -> None:
        kafka = {"bootstrap.servers": self.bootstrap}
        names = [{"name": name, "model": name, "control": name == "control"} for name in self.cast]
        self.settings = settings(namespace=self.name, kafka=kafka, shadow=names)
        shadows = "".join(
            f'[[shadow]]\nname = "{one["name"]}"\nmodel = "{one["model"]}"\ncontrol = {str(one["control"]).lower()}\n'
            for one in names
        )
        text = (
            f'namespace = "{self.name}"\npartitions = 1\n[kafka]\n"bootstrap.servers" = "{self.bootstrap}"\n{shadows}'
        )
        (self.folder / "shadow.toml").write_text(text)
        create_topics(self.settings)
        self.staged = Staged(self.settings, self.cast, self.live, start_ms=now_ms() - 60_000)
        self.staged.segments, self.staged.classes, self.staged.death = self.segments, self.classes, self.death
        self.producer = Producer({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def play(self, requests: int) -> None:
        """So many more requests, published."""
        compared, judged = len(self.staged.comparisons), len(self.staged.outcomes)
        for one in self.staged.play(requests):
            self.send(one.topic, one.key, one.value)
        for value in self.staged.comparisons[compared:]:
            self.send("comparisons", b"k", value)
        for value in self.staged.outcomes[judged:]:
            self.send("outcomes", b"k", value)
        assert self.producer.flush(START_S) == 0

    def send(self, topic: str, key: bytes, value: bytes | None) -> None:
        """One record, as bytes."""
        self.producer.produce(f"{self.name}.{topic}", key=key, value=value)
        self.producer.poll(0)


@dataclass(frozen=True)
class Served:
    """A dashboard process and where it answers."""

    process: "subprocess.Popen[str]"
    address: str


def serve(namespace: Namespace, *flags: str) -> Served:
    """A dashboard as a person starts it."""
    command = [sys.executable, "-m", "shadowbus", "--config", str(namespace.folder / "shadow.toml"), "dashboard"]
    with (namespace.folder / "dashboard.log").open("w") as log:
        process = subprocess.Popen([*command, "--port", "0", *flags], stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said.startswith("ready http://"):
        end(Served(process, ""))
        raise AssertionError(said + (namespace.folder / "dashboard.log").read_text())
    return Served(process, said.split()[1])


def end(served: Served) -> int:
    """Ask it to end, as an operator would."""
    served.process.terminate()
    try:
        return served.process.wait(20)
    finally:
        served.process.kill()
        served.process.wait()
        if served.process.stdout is not None:
            served.process.stdout.close()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for a condition, looking as often as the page does."""
    deadline = Deadline.after(seconds)
    while not condition():
        assert not deadline.passed
        os.sched_yield()
