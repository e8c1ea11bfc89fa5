"""A namespace on a broker with an authorizer, in which every stage and verb is a user with its own rights."""

import contextlib
import dataclasses
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.cimpl import NewTopic

from forked import Forked, forked
from guarded import Guarded
from receiver import Receiver, receiving
from shadowbus.capture import Tap
from shadowbus.clock import Deadline
from shadowbus.reading import newest
from shadowbus.records import Verdict, encode
from shadowbus.rights import Names, Right, needed_for
from shadowbus.settings import Settings, load_settings, parse_settings
from shadowbus.topology import TOPICS
from topic_log import log_of
from traffic import Reader, make_bundle, prediction, request

STAGES = {
    "rekey": ("rekey",),
    "replay": ("replay", "--shadow", "challenger"),
    "judge": ("judge",),
    "aggregate": ("aggregate",),
    "decide": ("decide",),
    "agents": ("agents",),
    "notify": ("notify",),
}
SOURCES = ("requests", "predictions", "labels")
ROOMY_S = 60.0
OLD = "champion@0~challenger@1"
"""A trial before the one of these tests: where a shadow has two, a verdict is chosen by what the aggregates say."""

INPUTS = {
    "rekey": tuple(f"raw.churn.{name}" for name in SOURCES),
    "replay": ("churn.requests", "churn.predictions"),
    "judge": ("churn.comparisons", "churn.labels"),
    "aggregate": ("churn.comparisons",),
    "decide": ("churn.partials",),
    "agents": (),
    "notify": (),
}


@dataclass(frozen=True)
class House:
    """One namespace on a guarded broker; whoever works in it is a user of its own."""

    guarded: Guarded
    namespace: str
    folder: Path
    receiver: Receiver

    @property
    def names(self) -> Names:
        return Names(self.namespace, ("challenger",), {name: f"raw.{self.namespace}.{name}" for name in SOURCES})

    def config(self, user: str) -> Path:
        """The settings file of one user."""
        place = self.folder / user
        if not (place / "shadow.toml").exists():
            place.mkdir()
            kafka = "".join(f'"{key}" = "{value}"\n' for key, value in self.guarded.kafka(user).items())
            rekey = "".join(f'{target} = "{source}"\n' for target, source in self.names.sources.items())
            (place / "shadow.toml").write_text(
                f'namespace = "{self.namespace}"\npartitions = 2\n[kafka]\n{kafka}'
                f'[[shadow]]\nname = "challenger"\nmodel = "{self.folder / "bundle"}"\n'
                f'[[notify]]\nname = "bot"\nformat = "json"\nurl = "{self.receiver.url()}"\n'
                f"[rekey]\n{rekey}"
                "[gate]\nmin_requests = 20\nmax_error_rate = 0.9\n"
                "[aggregate]\npublish_seconds = 0.2\n"
                "[worker]\nvitals_seconds = 0.5\n"
                '[promotion]\ncommand = ["true"]\n'
            )
        return place / "shadow.toml"

    def settings(self, user: str) -> Settings:
        """The same, read."""
        return load_settings(self.config(user))

    def needed(self, use: str) -> list[Right]:
        return needed_for(use, self.names)

    def call(self, words: Sequence[str], rights: Sequence[Right], seconds: float = ROOMY_S) -> tuple[int, str, str]:
        """Run a verb as somebody who may do this and no more; exit code, output, and what else it said."""
        config = self.config(self.guarded.user(*rights))
        with forked(config, words, "verb") as one:
            code = one.ended(seconds)
            return code, one.out.read_text(), one.said()

    def send(self, name: str, count: int) -> None:
        """Capture so many requests, answers and labels in a service that may do what capture needs; rekey one more."""
        tap = Tap(self.namespace, self.guarded.kafka(self.guarded.user(*self.needed("capture"))), model="champion@1")
        for number in range(count):
            with tap.request(request(f"{name}-{number}")["features"], request_id=f"{name}-{number}") as call:
                call.prediction = True
            tap.label(f"{name}-{number}", True)
        counters = tap.close(ROOMY_S)
        assert counters.lost == 0, counters.last_error
        key = f"{name}-raw"
        for target, record in (("requests", request(key)), ("predictions", prediction(key)), ("labels", label(key))):
            self.produce(self.names.sources[target], key, json.dumps(record).encode())

    def produce(self, topic: str, key: str, value: bytes, partition: int = -1) -> None:
        """Write one record as somebody who may do everything."""
        producer = Producer({"bootstrap.servers": self.guarded.open, "partitioner": "murmur2_random"})
        producer.produce(topic, value, key, partition)
        assert producer.flush(20) == 0

    def verdicts(self) -> list[Verdict]:
        """The newest verdicts."""
        settings = parse_settings(
            {"namespace": self.namespace, "kafka": {"bootstrap.servers": self.guarded.open}}, Path("shadow.toml"), {}
        )
        return list(newest(settings, Verdict).values())


@contextlib.contextmanager
def at_work(house: House, stages: Sequence[str] = tuple(STAGES)) -> Iterator[dict[str, Forked]]:
    """Every stage in a process of its own, as a user that may do what is documented and no more."""
    with contextlib.ExitStack() as opened:
        yield {
            stage: opened.enter_context(
                forked(house.config(house.guarded.user(*house.needed(stage))), STAGES[stage], stage)
            )
            for stage in stages
        }


def complaints(workers: Mapping[str, Forked]) -> str:
    """What they said of what Kafka refused, and whatever ended them."""
    lines = (f"{name}: {line}" for name, one in workers.items() for line in one.said().splitlines())
    return "\n".join(line for line in lines if re.search(r"uthoriz|ERROR|starts again|refuse|may not|Traceback", line))


@contextlib.contextmanager
def lived_in(guarded: Guarded, folder: Path) -> Iterator[House]:
    """A namespace in which every stage has worked, was killed, came back, and was stopped; with a verdict."""
    make_bundle(folder)
    with receiving() as receiver:
        house = House(guarded, "churn", folder, receiver)
        for made in guarded.admin.create_topics([NewTopic(name, 2) for name in house.names.sources.values()]).values():
            made.result(20)
        code, out, said = house.call(("topics", "--create"), house.needed("topics --create"))
        assert (code, out.count("created ")) == (0, len(TOPICS)), said
        with at_work(house) as workers:
            house.send("first", 30)
            eventually(lambda: [one.requests for one in house.verdicts()] == [31], lambda: complaints(workers))
            eventually(lambda: len(receiver.got) > 0, lambda: complaints(workers))
        with at_work(house) as workers:  # those before were killed
            house.send("second", 30)
            eventually(lambda: [one.requests for one in house.verdicts()] == [62], lambda: complaints(workers))
            assert not complaints(workers)
            for one in workers.values():
                one.process.terminate()
            assert {name: one.ended(ROOMY_S) for name, one in workers.items()} == dict.fromkeys(STAGES, 0)
        old = Verdict(OLD, "SEND_BACK", [], requests=1, labels=0, needed={}, decided_ms=1)
        house.produce("churn.verdicts", OLD, encode(old))
        yield house


def without(right: Right, rights: Sequence[Right]) -> list[Right]:
    """All but one; whoever may no longer read or write a topic still knows that it is there."""
    left = [one for one in rights if one != right]
    know = dataclasses.replace(right, operation="DESCRIBE")
    return [*left, know] if right.operation in ("READ", "WRITE") and right.kind == "TOPIC" else left


def provoke(house: House, stage: str, name: str) -> None:
    """Give a stage something of everything to do: a pair that meets, and a record that nobody can use."""
    if stage == "judge":
        reader = Reader(house.guarded.open, "churn.comparisons").until(1)
        reader.close()
        one = json.loads(next(value for value in reader.raw if value and value.startswith(b"{")))
        house.produce("churn.comparisons", name, json.dumps({**one, "request_id": name}).encode())
        house.produce("churn.labels", name, json.dumps(label(name)).encode())
    elif stage in ("decide", "agents"):
        partials = [
            one for one in log_of(house.guarded.open, "churn.partials") if one.value and one.key.count(b"|") == 3
        ]
        newest = partials[-1]
        house.produce("churn.partials", newest.key.decode(), newest.value or b"", newest.partition)
    elif stage == "notify":
        other = ("PROMOTE", "SEND_BACK")[int(name.rpartition("-")[2]) % 2]  # another than the last, which may be told
        changed = Verdict(OLD, other, [], requests=1, labels=0, needed={}, decided_ms=int(time.time()))
        house.produce("churn.verdicts", OLD, encode(changed))
    elif stage in ("rekey", "replay"):
        house.send(name, 1)
    for topic in INPUTS[stage]:
        house.produce(topic, f"{name}-junk", b"junk")


def label(request_id: str) -> dict[str, object]:
    return {"v": 1, "request_id": request_id, "timestamp_ms": int(time.time() * 1000), "label": True}


def eventually(condition: Callable[[], bool], why: Callable[[], str] = str, seconds: float = ROOMY_S) -> None:
    deadline, pause = Deadline.after(seconds), threading.Event()
    while not condition():
        assert not deadline.passed, f"it did not come to pass in time: {why()}"
        pause.wait(0.1)
