"""The page without a browser: what is kept stays small, and charts hold no program code."""

import dataclasses
import doctest
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from shadowbus.dashboard import charts, example, look, moments, time_charts
from shadowbus.dashboard.answer import acted
from shadowbus.dashboard.differences import heading
from shadowbus.dashboard.example import DIFFERING, Examples, Question, example_of
from shadowbus.dashboard.store import STALE_MS, Running, Store
from shadowbus.errors import Malformed
from shadowbus.records import Promotion, Verdict, encode
from shadowbus.stage import RecordBatch
from shadowbus.story.criteria import read
from shadowbus.story.deviation import Deviation
from shadowbus.story.history import narrowing
from staged import Staged, settings

TRIAL = "champion@1~worse@1"
OFF = Deviation(9, (1.5, 1.25), (3.0, 2.0), ("1.50", "1.25"), ("3.00", "2.00"), -0.25, None, None, "Off by 1.25.")


@pytest.fixture(scope="module")
def store() -> Store:
    filled, staged = Store(), Staged(settings(), classes=(":formatter", *"123456789"))
    for one in staged.play(300):
        filled.take([RecordBatch(one.topic, 0, [one.key], [one.value], [0], [0])])
    for topic, values in (("comparisons", staged.comparisons), ("outcomes", staged.outcomes)):
        none = [0] * len(values)
        filled.take([RecordBatch(topic, 0, [b"k"] * len(values), list(values), none, none)])
    filled.show("live", "", staged.now_ms)
    return filled


def keys(options: Any) -> Iterator[str]:
    """Every key in there."""
    if isinstance(options, dict):
        for key, value in options.items():
            yield key
            yield from keys(value)
    elif isinstance(options, list):
        for value in options:
            yield from keys(value)


@pytest.mark.parametrize("module", [example, look, moments])
def test_examples_in_docstrings_are_true(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


def test_charts_hold_neither_program_code_nor_html(store: Store) -> None:
    (trial,) = [one for one in store.view.story.trials if one.trial == TRIAL]
    assert trial.confusion is not None
    assert trial.distribution is not None
    history = store.view.histories[TRIAL]
    found = [time_charts.narrowing(one, narrowing(history, one.name)) for one in trial.criteria]
    found += [charts.confusion(trial.confusion), charts.distribution(trial.distribution), charts.right(trial.right)]
    found += [charts.latency(*trial.latency), charts.deviation(OFF)]
    found += [show(trial.timeline) for show in (time_charts.rates, time_charts.errors, time_charts.latency)]
    for options in found:
        assert orjson.dumps(options)
        assert not [key for key in keys(options) if key.startswith(":")]
        tooltip = options["tooltip"]
        assert tooltip.get("renderMode") == "richText" or tooltip["show"] is False
    assert ":formatter" in orjson.dumps(found[-8]).decode()


@pytest.mark.parametrize("name", ["error_rate", "accuracy", "unheard_of"])
@pytest.mark.parametrize("numbers", [(None, None, None, None), (0.0, 0.0, 0.0, 0.0), (1.0, 0.5, 1.0, 0.9)])
def test_a_criterion_of_which_nothing_is_known_has_a_chart_too(name: str, numbers: tuple[float | None, ...]) -> None:
    fields = dict(zip(("value", "low", "high", "limit"), numbers, strict=True))
    (criterion,) = read({"name": name, "state": "open", **fields})
    axis = time_charts.narrowing(criterion, ())["yAxis"]
    assert axis["min"] < axis["max"]


def test_axes_end_where_nothing_can_be(store: Store) -> None:
    (trial,) = [one for one in store.view.story.trials if one.trial == TRIAL]
    assert time_charts.rates(trial.timeline)["yAxis"]["max"] == 100.0
    failing = [dataclasses.replace(one, errors=1.0) for one in trial.timeline]
    assert time_charts.errors(failing)["yAxis"]["max"] == 100.0
    assert "max" not in time_charts.errors(trial.timeline)["yAxis"]


def test_the_heading_of_segments_says_whether_it_is_worse_for_any(store: Store) -> None:
    (trial,) = [one for one in store.view.story.trials if one.trial == TRIAL]
    assert heading(trial.segments).startswith("For whom is it worse? In ")
    better = tuple(dataclasses.replace(one, worse=False) for one in trial.segments)
    assert heading(better) == "It is worse for no segment"


def test_examples_are_those_asked_for_with_who_was_right(store: Store) -> None:
    everything = store.examples(TRIAL, Question(), 10_000)
    assert everything
    assert all(one.agree is not True for one in everything)
    weekend = store.examples(TRIAL, Question(segment="day=weekend", right="live"), 10_000)
    assert weekend == [one for one in everything if "day=weekend" in one.segments and one.right == "live"]
    assert all(one.label == one.live != one.shadow for one in weekend)
    same = store.examples(TRIAL, Question(live_class="3", shadow_class="3"), 10_000)
    assert same
    assert all(one.agree for one in same)


def test_what_is_kept_stays_small_whatever_comes() -> None:
    record: dict[str, Any] = {
        "request_id": "r" * 10_000,
        "timestamp_ms": 1,
        "trial": TRIAL,
        "status": "compared",
        "live": {"model": "m", "prediction": {"deep": ["x" * 10_000]}},
        "shadow": {"model": "m", "prediction": None, "error": "e" * 10_000},
        "agree": False,
        "distance": None,
        "segments": {f"s{n}": "v" * 1_000 for n in range(1_000)},
        "features": {"f": "y" * 1_000_000},
    }
    trial, one = example_of(orjson.dumps(record))
    assert trial == TRIAL
    assert len(str(one)) < 15_000
    kept = Examples()
    for _ in range(3 * DIFFERING):
        kept.take(one)
    for number in range(20_000):
        kept.judge(str(number), "a", "both")
    assert len(kept.differing) == DIFFERING
    assert len(kept.labels) <= 5_000
    with pytest.raises(Malformed):
        example_of(b"[]")


def test_what_was_done_about_a_verdict_stands_beside_it() -> None:
    store, trial = Store(), "a~b@1"
    act = Promotion(trial, "promote", "done", "ada", 5, "digest", "key", told="The alias was moved.")
    told = b'{"trial":"a~b@1","receiver":"chat","verdict":"PROMOTE","count":1,"sent":true,"told_ms":1}'
    keys: list[bytes | None] = [b"a~b@1|promotion", b"a~b@1|told|chat"]
    store.take([RecordBatch("verdicts", 0, keys, [encode(act), told], [0, 0], [0, 1])])
    store.show("live", "", 10)
    assert not store.view.story.trials
    verdict = Verdict(trial, "PROMOTE", [], 0, 0, {}, 1, since_ms=1)
    store.take([RecordBatch("verdicts", 0, [trial.encode()], [encode(verdict)], [0], [2])])
    store.show("live", "", 11)
    (shown,) = store.view.story.trials
    assert (shown.act, shown.done) == (act, True)
    assert store.view.story.headline == "b@1 was promoted."
    assert acted(shown) == "It was promoted by ada, 1970-01-01 00:00:00 UTC. The alias was moved."
    assert "in the service's tap" in shown.next


def test_records_that_cannot_be_read_are_left_out(store: Store) -> None:
    before = store.view.story
    for topic in ("aggregates", "verdicts", "comparisons", "outcomes"):
        store.take([RecordBatch(topic, 0, [None, b"x"], [b"{", b"[1]"], [0, 0], [0, 1])])
    assert store.view.story == before


def test_time_is_told_in_utc_and_as_finely_as_the_trial_is_long(store: Store) -> None:
    (trial,) = [one for one in store.view.story.trials if one.trial == TRIAL]
    axis = time_charts.rates(trial.timeline)["xAxis"]
    assert (axis["min"], axis["max"]) == (trial.timeline[0].start_ms, trial.timeline[-1].start_ms)
    assert axis["axisLabel"]["formatter"] == "{HH}:{mm}:{ss}"
    alone = time_charts.latency(trial.timeline[:1])
    assert alone["xAxis"]["max"] - alone["xAxis"]["min"] == 60_000
    assert alone["useUTC"] is True


def test_bands_reach_from_what_is_lowest_to_what_is_highest(store: Store) -> None:
    (trial,) = [one for one in store.view.story.trials if one.trial == TRIAL]
    found = {one["name"]: [value for _, value in one["data"]] for one in time_charts.rates(trial.timeline)["series"]}
    for base, width, high, moment in zip(
        found["possible, base"], found["possible, width"], found["highest possible"], trial.timeline, strict=True
    ):
        assert base == pytest.approx(100 * (moment.agreement_low or 0.0), abs=1e-3)
        assert base + width == pytest.approx(high, abs=1e-3)
    legend = time_charts.latency(trial.timeline)["legend"]["data"]
    assert legend == ["live", "shadow"]


def test_settings_that_change_while_the_page_is_open_are_followed() -> None:
    """Else the page promotes what runs no more, and calls what runs now over."""
    runs = iter([Running(versions={"b": "1"}), Running(versions={"b": "2"})])
    store = Store(lambda: next(runs))
    for trial in ("a~b@1", "a~b@2"):
        store.take(
            [
                RecordBatch(
                    "verdicts", 0, [trial.encode()], [encode(Verdict(trial, "PROMOTE", [], 9, 9, {}, 1))], [0], [0]
                )
            ]
        )
    store.show("live", "", STALE_MS)
    assert [one.trial for one in store.view.story.going] == ["a~b@1"]
    store.show("live", "", 2 * STALE_MS)
    assert [one.trial for one in store.view.story.going] == ["a~b@2"]
