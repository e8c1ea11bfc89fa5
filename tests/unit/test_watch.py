"""The decorator sees a function's calls and changes nothing about them."""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from shadowbus.capture import Tap
from shadowbus.capture.outbox import Outbox


@pytest.fixture
def tap() -> Iterator[Tap]:
    made = Tap("churn", {"bootstrap.servers": "127.0.0.1:1"}, model="champion@3")
    yield made
    made.close(0)


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The records that reach the producer, in order."""
    seen: list[dict[str, Any]] = []
    put = Outbox.put

    def watched(self: Outbox, topic: str, key: bytes, value: bytes) -> str | None:
        seen.append(orjson.loads(value))
        return put(self, topic, key, value)

    monkeypatch.setattr(Outbox, "put", watched)
    return seen


def test_picks_find_the_parts_of_a_call(tap: Tap, pairs: list[dict[str, Any]]) -> None:
    @tap.watch(
        features=lambda customer, **_: customer["features"],
        segments=lambda customer, **_: {"country": customer["country"]},
        request_id=lambda customer, **_: customer["id"],
        prediction=lambda result: result[0],
        scores=lambda result: result[1],
    )
    def predict(customer: dict[str, Any], verbose: bool = False) -> tuple[str, list[float]]:
        """Ask the champion."""
        return "stay", [0.75, 0.25]

    customer = {"features": {"age": 41}, "country": "DE", "id": "r-1"}
    assert predict(customer, verbose=True) == ("stay", [0.75, 0.25])
    assert predict.__doc__ == "Ask the champion."
    request, prediction = pairs
    assert (request["request_id"], request["features"], request["segments"]) == ("r-1", {"age": 41}, {"country": "DE"})
    assert (prediction["prediction"], prediction["scores"]) == ("stay", [0.75, 0.25])


def test_without_picks_the_arguments_are_the_features(tap: Tap, pairs: list[dict[str, Any]]) -> None:
    class Model:
        @tap.watch()
        def one(self, features: dict[str, int]) -> int:
            return features["age"]

        @tap.watch()
        def several(self, age: int, country: str = "DE") -> int:
            return age

    assert (Model().one({"age": 41}), Model().several(42, country="FR")) == (41, 42)
    assert [record["features"] for record in pairs[::2]] == [{"age": 41}, {"age": 42, "country": "FR"}]


def with_defaults(age: int, country: str = "DE", *, channel: str = "web") -> int:
    return age


def with_one(age: int = 18) -> int:
    return age


def with_more(age: int, *rest: int, plan: str = "basic", **more: int) -> int:
    return age


def by_place(age: int, plan: str = "basic", /) -> int:
    return age


def by_names(**features: int) -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "features"),
    [
        (with_defaults, (30,), {}, {"age": 30, "country": "DE", "channel": "web"}),
        (with_defaults, (30, "FR"), {"channel": "app"}, {"age": 30, "country": "FR", "channel": "app"}),
        (with_defaults, (), {"age": 30}, {"age": 30, "country": "DE", "channel": "web"}),
        (with_more, (30,), {"calls": 3}, {"age": 30, "plan": "basic", "calls": 3}),
        (with_more, (30, 1, 2), {}, {"age": 30, "rest": [1, 2], "plan": "basic"}),
        (by_place, (30,), {}, {"age": 30, "plan": "basic"}),
        (by_names, (), {"age": 30, "calls": 3}, {"age": 30, "calls": 3}),
    ],
)
def test_features_are_what_the_function_went_by_whether_given_or_by_default(
    tap: Tap, pairs: list[dict[str, Any]], function: Any, args: Any, kwargs: Any, features: Any
) -> None:
    assert tap.watch()(function)(*args, **kwargs) == function(*args, **kwargs)
    assert list(pairs[0]["features"].items()) == list(features.items())


def test_a_pick_or_a_call_that_fails_in_any_way_is_not_the_callers_business(
    tap: Tap, pairs: list[dict[str, Any]]
) -> None:
    def leave(*_: object, **__: object) -> object:
        raise SystemExit(3)

    assert tap.watch(features=leave)(with_one)(30) == 30
    assert tap.watch(segments=leave)(with_one)(30) == 30
    assert tap.watch(request_id=leave)(with_one)(30) == 30
    assert (pairs, tap.counters().dropped["extraction_failed"]) == ([], 6)
    assert tap.watch(prediction=leave)(with_one)(30) == 30
    assert pairs[1]["error"] == "SystemExit: 3"
    with pytest.raises(TypeError, match="unexpected keyword"):
        tap.watch()(with_one)(weight=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError])
def test_what_ends_the_service_passes_through(tap: Tap, pairs: list[dict[str, Any]], kind: type[BaseException]) -> None:
    ending = kind("now")

    @tap.watch()
    def predict(age: int) -> int:
        raise ending

    with pytest.raises(kind) as caught:
        predict(30)
    assert caught.value is ending
    assert pairs[1]["error"] == f"{kind.__name__}: now"
    with pytest.raises(kind) as caught, tap.request([1]):
        raise ending
    assert caught.value is ending


def test_an_async_function_stays_one(tap: Tap, pairs: list[dict[str, Any]]) -> None:
    @tap.watch()
    async def predict(features: dict[str, int]) -> int:
        await asyncio.sleep(0)
        return features["age"]

    assert inspect.iscoroutinefunction(predict)
    assert asyncio.run(predict({"age": 41})) == 41
    assert pairs[1]["prediction"] == 41


def test_an_exception_of_the_function_stays_its_own(tap: Tap, pairs: list[dict[str, Any]]) -> None:
    @tap.watch()
    def predict(features: dict[str, int]) -> int:
        return features["weight"]

    with pytest.raises(KeyError, match="weight"):
        predict({"age": 41})
    assert pairs[1]["error"] == "KeyError: 'weight'"
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        predict()  # type: ignore[call-arg]


def test_a_pick_that_fails_costs_the_record_and_not_the_answer(tap: Tap, pairs: list[dict[str, Any]]) -> None:
    @tap.watch(features=lambda features: features["no such"])
    def blind(features: dict[str, int]) -> int:
        return 1

    @tap.watch(prediction=lambda result: result["no such"])
    def mute(features: dict[str, int]) -> dict[str, int]:
        return {"answer": 1}

    assert (blind({"age": 41}), mute({"age": 41})) == (1, {"answer": 1})
    assert tap.counters().dropped["extraction_failed"] == 2
    assert [record.get("error") for record in pairs] == [None, "KeyError: 'no such'"]
