"""One odd record of one trial among the aggregates and verdicts: every reader shows the other trials as before.

Odd records are made from real ones: one part is replaced by one of some values that nobody expects.
"""

import copy
import io
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from downstream import Downstream
from shadowbus import reading
from shadowbus.cli.console import as_line
from shadowbus.cli.read import find_verdict, overview, status, verdict
from shadowbus.clock import Deadline
from shadowbus.dashboard import charts as page_charts
from shadowbus.dashboard import time_charts
from shadowbus.dashboard.store import Store
from shadowbus.errors import ShadowbusError
from shadowbus.exporter.trial import TrialCollector
from shadowbus.exporter.trials import Trials
from shadowbus.notify import worker as notify
from shadowbus.notify.due import changes
from shadowbus.notify.messages import TEMPLATES
from shadowbus.promotion.course import NotAllowed, Standing, check_verdict
from shadowbus.records import Aggregate, Verdict, decode
from shadowbus.report import document, sources, writing
from shadowbus.settings.webhook import NotifySettings
from shadowbus.stage import RecordBatch
from shadowbus.topology import AGGREGATES, Topic
from staged import CAST, Staged, settings

GOOD, ODD = "champion@1~better@1", "champion@1~worse@1"
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 2**63 - 1, 1e308, -0.5, "", "odd", "__proto__", "\x1b[31m\u202e\x9b2J", [], [[]], [None]),
    *({}, {"odd": {"odd": []}}, {"\x00": "\u2028"}),
)
MOST = 60
Tables = dict[str, dict[bytes, bytes]]
SETTINGS = settings()


@pytest.fixture(scope="module")
def tables() -> Tables:
    """What two trials have published, one of them good."""
    staged, found = (
        Staged(SETTINGS, cast={name: CAST[name] for name in ("better", "worse")}),
        Tables(aggregates={}, verdicts={}),
    )
    for publication in (*staged.play(400), *staged.play(200)):
        assert publication.value is not None
        found[publication.topic][publication.key] = publication.value
    return found


def paths(document: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each part of a document."""
    for name, part in document.items() if isinstance(document, dict) else enumerate(document[:2]):
        yield (*so_far, name)
        if isinstance(part, dict | list):
            yield from paths(part, (*so_far, name))


def odd_ones(value: bytes) -> Iterator[bytes]:
    """A record with one of its parts replaced, and what is no record at all."""
    whole, rng = orjson.loads(value), random.Random(3)
    ways = list(paths(whole))
    for path in ways if len(ways) < MOST else rng.sample(ways, MOST):
        changed = copy.deepcopy(whole)
        part = changed
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = rng.choice(VALUES)
        yield orjson.dumps(changed)
    yield from (b"", b"{", b"null", b"[]", b"7", b"\xff", b"{}", b"[" * 100_000)


def console() -> tuple[Console, io.StringIO]:
    shown = io.StringIO()
    return Console(file=shown, width=200), shown


def by_status(tables: Tables) -> str:
    found, odd = find_verdict.verdicts(tables["verdicts"])
    trials = list(overview._trials(tables["aggregates"]))
    notes = [*(one.sentence for one in odd), *overview.left_out_notes(trials)]
    seen = overview.Overview("digits", [], [], trials, [one.record for one in found], [], {}, notes)
    shown, text = console()
    status._show(seen, shown, can_act=True)
    return text.getvalue() + as_line(seen)


def by_verdict(tables: Tables) -> str:
    shadow_names = ("better", "worse")
    said = ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shadowbus.kafka.read.topic.read_table", lambda _, topic, __: tables[topic.name])
        for shadow in shadow_names:
            try:
                found = find_verdict.find(SETTINGS, shadow, None, Deadline.after(1))
            except ShadowbusError:  # of the odd one: were it of the good one, that would be missed below
                continue
            assert found is not None
            shown, text = console()
            patch.setattr(verdict, "output", lambda shown=shown: shown)
            verdict.show(found.record, {})
            said += text.getvalue() + as_line(found.value)
    return said


def by_promote(tables: Tables) -> str:
    found, _ = find_verdict.verdicts(tables["verdicts"])
    for one in found:
        if one.record.trial == ODD and one.record.fault:
            with pytest.raises(NotAllowed):
                check_verdict(Standing("digits", one.record), "send_back")
    return " ".join(one.record.trial for one in found)


def by_page(tables: Tables) -> str:
    store = Store()
    for name, table in tables.items():
        store.take([RecordBatch(name, 0, [*table], [*table.values()], [0] * len(table), [0] * len(table))])
    store.show("live", "", 1)
    for trial in store.view.story.trials:
        time_charts.rates(trial.timeline), time_charts.errors(trial.timeline), time_charts.latency(trial.timeline)
        page_charts.latency(*trial.latency)
        page_charts.right(trial.right)
        if trial.confusion is not None:
            page_charts.confusion(trial.confusion)
        if trial.distribution is not None:
            page_charts.distribution(trial.distribution)
    return " ".join(f"{one.trial} {one.headline} {one.why}" for one in store.view.story.trials)


def by_prometheus(tables: Tables) -> str:
    trials, registry = Trials(), CollectorRegistry()
    for name, table in tables.items():
        for key, value in table.items():
            trials.take(name, key, value)
    registry.register(TrialCollector(trials))
    return generate_latest(registry).decode()


def by_notify(tables: Tables) -> str:
    last = {"trial": GOOD, "receiver": "chat", "verdict": "SEND_BACK", "count": 1, "sent": True, "told_ms": 1}
    rows = {**tables["verdicts"], f"{GOOD}|told|chat".encode(): orjson.dumps(last)}
    read, told, _ = notify._read({key: (0, value) for key, value in rows.items()})
    receiver = NotifySettings("chat", "https://chat.example", on=("PROMOTE", "SEND_BACK", "KEEP_WATCHING"))
    open_changes = list(changes([receiver], read, told))
    return b" ".join(template(one, "id") for one in open_changes for template in TEMPLATES.values()).decode()


def by_report(tables: Tables) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shadowbus.kafka.read.topic.read_table", lambda _, topic, __: tables[topic.name])
        patch.setattr("shadowbus.kafka.read.topic.read_tail", lambda *_: iter(tables["verdicts"].values()))
        known = sources.from_topics(SETTINGS)
    made = document.document(known.told, source="here", made_ms=1, draw=lambda spec: str(len(spec)))
    return writing.html(made) + writing.pull_request(made).replace("\\", "")


def by_readers(tables: Tables) -> str:
    def table(_: object, topic: Topic, __: object) -> Mapping[bytes, bytes]:
        return tables["aggregates" if topic is AGGREGATES else "verdicts"]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "read_table", table)
        return " ".join([*reading.newest(SETTINGS, Aggregate), *reading.newest(SETTINGS, Verdict)])


def by_decide(tables: Tables) -> str:
    behind = Downstream(SETTINGS)
    behind.restart(verdicts=tables["verdicts"])
    return " ".join(behind.decide.standing)


READERS: dict[str, Callable[[Tables], str]] = {
    name.removeprefix("by_"): read for name, read in list(globals().items()) if name.startswith("by_")
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", ["a verdict", "a trial", "a window"])
def test_every_reader_shows_the_good_trial_whatever_stands_in_a_record_of_the_other(
    tables: Tables, reader: str, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    names = {"a verdict": ODD, "a trial": f"{ODD}|all|all", "a window": f"{ODD}|all|1760000000000"}
    topic, key = "verdicts" if what == "a verdict" else "aggregates", names[what].encode()
    assert GOOD in READERS[reader](tables)
    for odd in odd_ones(tables[topic][key]):
        # Before the good one, so that whatever ends at it does not come to that.
        spoiled: Tables = {
            **tables,
            topic: {key: odd, **{name: one for name, one in tables[topic].items() if name != key}},
        }
        assert GOOD in READERS[reader](spoiled), odd[:300]


@pytest.mark.parametrize("reader", ["status", "verdict", "page", "prometheus", "report"])
def test_a_trial_that_could_not_be_decided_is_named(tables: Tables, reader: str) -> None:
    record = {**orjson.loads(tables["verdicts"][ODD.encode()]), "verdict": "KEEP_WATCHING", "criteria": []}
    record["fault"] = "Its partials cannot be merged."
    shown = READERS[reader]({**tables, "verdicts": {**tables["verdicts"], ODD.encode(): orjson.dumps(record)}})
    wanted = f'shadowbus_trial_fault{{trial="{ODD}"}} 1.0' if reader == "prometheus" else record["fault"]
    assert wanted in shown


def test_a_trial_that_could_not_be_decided_changes_nothing_for_those_who_are_told(tables: Tables) -> None:
    record = {**orjson.loads(tables["verdicts"][GOOD.encode()]), "verdict": "KEEP_WATCHING", "fault": "Why."}
    told = {"trial": GOOD, "receiver": "chat", "verdict": "PROMOTE", "count": 1, "sent": True, "told_ms": 1}
    rows = {GOOD.encode(): (0, orjson.dumps(record)), f"{GOOD}|told|chat".encode(): (0, orjson.dumps(told))}
    read, known, _ = notify._read(rows)
    assert (read, len(known)) == ([], 1)


def test_nobody_acts_on_what_could_not_be_decided(tables: Tables) -> None:
    record = {**orjson.loads(tables["verdicts"][GOOD.encode()]), "fault": "Why."}
    with pytest.raises(NotAllowed, match=r"could not be decided: Why\."):
        check_verdict(Standing("digits", decode(Verdict, orjson.dumps(record))), "promote")


def test_a_second_verdict_of_one_trial_under_another_key_is_none(tables: Tables, tmp_path: Path) -> None:
    forged = {**orjson.loads(tables["verdicts"][GOOD.encode()]), "verdict": "SEND_BACK"}
    spoiled: Tables = {**tables, "verdicts": {**tables["verdicts"], b"another key": orjson.dumps(forged)}}
    for reader in READERS.values():
        assert GOOD in reader(spoiled)
    read, _, _ = notify._read({key: (0, value) for key, value in spoiled["verdicts"].items()})
    assert sorted(one.trial for one in read) == [GOOD, ODD]
