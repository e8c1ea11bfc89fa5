"""The whole replay stage with a model that does everything a model should not, on a real broker."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.misbehaving import Deed, Misbehaving, bundle_of
from traffic import Reader, Stream, prediction, request

pytestmark = pytest.mark.kafka

GUILTY = {
    "shadow_error": (Deed.RAISE, Deed.NAN, Deed.TYPE, Deed.QUIT, Deed.ALLOCATE, Deed.SHAPE),
    "shadow_timeout": (Deed.HANG, Deed.BUSY, Deed.DEAF),
    "shadow_crash": (Deed.EXIT, Deed.SEGFAULT, Deed.ABORT, Deed.KILLED, Deed.GROUP, Deed.CLOSE, Deed.SCRIBBLE),
}
HARMLESS = (Deed.CHILD, Deed.ORPHAN, Deed.COPY, Deed.THREAD, Deed.LEAK)
REQUESTS = 10_000
SENDING_SECONDS = 25.0


@pytest.fixture
def stream(bootstrap: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stream:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where the model process finds the estimator
    bundle = bundle_of(Misbehaving(), tmp_path / "wild")
    limits = "timeout_ms = 500\nallow_pickle = true\nmemory_mb = 128\n"
    return Stream(bootstrap, namespace, tmp_path, extra=f'[[shadow]]\nname = "wild"\nmodel = "{bundle}"\n{limits}')


@pytest.fixture
def comparisons(stream: Stream) -> Iterator[Reader]:
    reader = Reader(stream.bootstrap, stream.topic("comparisons"))
    yield reader
    reader.close()


def deeds_by_id(seed: int) -> dict[str, Deed]:
    """What each request does to the model: each crash and error twice, each hang once, anywhere."""
    poison = [deed for status, deeds in GUILTY.items() for deed in deeds * (1 if status == "shadow_timeout" else 2)]
    deeds = [*poison, *HARMLESS, *[Deed.FINE] * (REQUESTS - len(poison) - len(HARMLESS))]
    random.Random(seed).shuffle(deeds)
    return {f"request-{number:05d}": deed for number, deed in enumerate(deeds)}


def send(stream: Stream, deeds: dict[str, Deed], seconds: float = 0.0) -> None:
    """Send both halves of each request, spread over that many seconds."""
    started = time.monotonic()
    for number, (request_id, deed) in enumerate(deeds.items()):
        stream.send("requests", request_id, request(request_id, features={"deed": int(deed)}))
        stream.send("predictions", request_id, prediction(request_id))
        time.sleep(max(0.0, started + seconds * number / len(deeds) - time.monotonic()))
    stream.producer.flush()


def newest_vitals(stream: Stream) -> dict[str, Any]:
    """The model's part of the newest vitals."""
    reader = Reader(stream.bootstrap, stream.topic("vitals"))
    deadline = time.monotonic() + 60
    while not reader.raw:
        assert time.monotonic() < deadline, "no vitals"
        reader.read()
    while reader.read(1.0):
        pass
    reader.close()
    model: dict[str, Any] = max(reader.values, key=lambda value: value["timestamp_ms"])["model"]
    return model


@pytest.mark.alone  # on a busy machine a crash that takes its time is a timeout
def test_poison_of_every_kind_is_found_and_nothing_else_is_touched(stream: Stream, comparisons: Reader) -> None:
    deeds = deeds_by_id(20)
    status_of = {deed: status for status, deeds in GUILTY.items() for deed in deeds}
    sender = threading.Thread(target=send, args=(stream, deeds, SENDING_SECONDS))
    with stream.worker("replay", "--shadow", "wild"):
        sender.start()
        comparisons.until(REQUESTS, SENDING_SECONDS + 120)
        sender.join()
        vitals = newest_vitals(stream)
    assert comparisons.keys == Counter(key.encode() for key in deeds)
    found = {value["request_id"]: value["status"] for value in comparisons.values}
    assert found == {key: status_of.get(deed, "compared") for key, deed in deeds.items()}
    guilty = [value for value in comparisons.values if value["status"] != "compared"]
    assert all(value["shadow"]["error"] and value["live"]["prediction"] is True for value in guilty)
    deaths = vitals["deaths"]
    assert set(deaths) <= {"crash", "timeout", "garbled", "retired"}
    assert deaths["timeout"] >= len(GUILTY["shadow_timeout"])
    assert deaths["crash"] + deaths["garbled"] >= 2 * len(GUILTY["shadow_crash"])
    assert vitals["restarts"] == sum(deaths.values())
    assert vitals["loads"] == 1
    assert vitals["circuit_opened"] == 0
    assert vitals["cpu_s"] > 0
    assert vitals["resident_bytes"] > 0


def test_a_model_that_only_hangs_rests_and_the_worker_keeps_pace_until_it_is_well(
    stream: Stream, comparisons: Reader
) -> None:
    ill = {f"ill-{number:05d}": Deed.HANG for number in range(5_000)}
    send(stream, ill)
    with stream.worker("replay", "--shadow", "wild"):
        comparisons.until(len(ill), 120)
        assert {value["status"] for value in comparisons.values} == {"shadow_timeout", "shadow_unavailable"}
        texts = {value["shadow"]["error"] for value in comparisons.values if value["status"] == "shadow_unavailable"}
        assert any("kept the worker waiting" in text for text in texts)
        assert newest_vitals(stream)["circuit_opened"] >= 1
        well: dict[str, Deed] = {}
        deadline = time.monotonic() + 120
        while comparisons.values[-1]["status"] != "compared":
            assert time.monotonic() < deadline, "the circuit never closes again"
            key = f"well-{len(well):05d}"
            well[key] = Deed.FINE
            send(stream, {key: Deed.FINE})
            comparisons.until(len(ill) + len(well))
    assert comparisons.keys == Counter(key.encode() for key in (*ill, *well))
    assert "starts again" not in stream.logs()
