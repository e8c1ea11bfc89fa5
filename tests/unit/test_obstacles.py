"""What cannot run, be compared or be judged is told with reasons, decides nothing, and goes on once it is mended."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from downstream import Downstream
from shadowbus.aggregate import failures, startup
from shadowbus.aggregate.stage import AggregateStage
from shadowbus.cli.read.verdict import needed_sentence
from shadowbus.decide.verify import Recount
from shadowbus.doctor.evidence import Evidence
from shadowbus.doctor.trials import check_trials, going, unmet
from shadowbus.notify.due import changes
from shadowbus.notify.messages import TEMPLATES
from shadowbus.promotion.course import NotAllowed, Standing, check_verdict
from shadowbus.records import Aggregate, Verdict, decode, encode
from shadowbus.settings import Settings, parse_settings
from shadowbus.settings.webhook import NotifySettings
from shadowbus.stage import RecordBatch
from shadowbus.story.trial import Told, tell
from shadowbus.totals import reasons
from shadowbus.totals.reasons import FAILED, MOST, Reasons, form
from shadowbus.totals.totals import STARTUP
from shadowbus.verdict import obstacles

TRIAL = "live@1~new@2"
GATE = {"min_requests": 100, "max_error_rate": 0.01, "min_agreement": 0.5, "accuracy_margin": 0.1}
FAILS = "ValueError: could not convert string to float: 'plan {}'"


@pytest.mark.parametrize("module", [startup, reasons, failures, obstacles])
def test_the_examples_in_the_docstrings_are_right(module: Any) -> None:
    import doctest

    assert doctest.testmod(module).failed == 0


def settings(**changes: Any) -> Settings:
    table = {
        "namespace": "t",
        "partitions": 4,
        "kafka": {"bootstrap.servers": "localhost:1"},
        "shadow": [{"name": "new", "model": "x", "task": changes.pop("task", "classification")}],
        "gate": {name: limit for name, limit in {**GATE, **changes}.items() if limit is not None},
    }
    return parse_settings(table, Path("shadow.toml"), {})


class Trial:
    """Comparisons and outcomes go through the real aggregate stage and board; each commit's verdict is kept."""

    def __init__(self, partitions: int = 1, **changes: Any) -> None:
        self.settings, self.held = settings(**changes), frozenset(range(partitions))
        self.stage = AggregateStage(self.held, self.settings)
        self.board = Downstream(self.settings)
        self.table = self.board.partials
        self.said = 0
        self.rows, self.offsets = 0, dict.fromkeys([(t, p) for t in ("comparisons", "outcomes") for p in self.held], 0)
        self.statuses = {partition: Counter[str]() for partition in self.held}
        self.aggregates: dict[str, Any] = {}
        self.found: list[Verdict] = []
        self.log: list[RecordBatch] = []
        self.value = b""

    def compare(self, *rows: dict[str, Any]) -> Verdict:
        return self._take("comparisons", [self._comparison(**row) for row in rows])

    def label(self, *rows: dict[str, Any]) -> Verdict:
        return self._take("outcomes", [{"trial": TRIAL, "timestamp_ms": 1_000, "segments": {}, **row} for row in rows])

    def restart(self) -> None:
        """The aggregate begins again from its partials."""
        self.stage = AggregateStage(self.held, self.settings)
        keys, values = list(self.table), list(self.table.values())
        nothing = [0] * len(keys)
        self.stage.restore(RecordBatch("partials", 0, [*keys], [*values], nothing, nothing))
        self.stage.resume_at(self.offsets)

    def _comparison(self, **row: Any) -> dict[str, Any]:
        self.rows += 1
        status = row.get("status", "compared")
        error = row.pop("error", None)
        answered = {"model": "m", "prediction": "a", "scores": None, "latency_ms": None, "error": None}
        shadow = {**answered, "prediction": row.pop("answer", "a"), "error": error}
        live = {**answered, "prediction": row.pop("live_answer", "a"), "error": row.pop("live_error", None)}
        done = status == "compared"
        return {
            "trial": TRIAL,
            "timestamp_ms": 1_000 + self.rows,
            "status": status,
            "live": live,
            "shadow": shadow,
            "agree": True if done else None,
            "distance": 0.0 if done else None,
            "segments": {"country": "DE"},
            "number": None,
            **row,
        }

    def _vitals(self, partition: int) -> RecordBatch:
        """Books that close."""
        read, self.said = self.statuses[partition].total(), self.said + 1
        sides = {side: {"read": read} for side in ("requests", "predictions")}
        books = {**sides, "comparisons": {TRIAL: self.statuses[partition]}}
        record = {"stage": "replay", "shadow": "new", "worker": "w", "partition": partition, "timestamp_ms": 1_000}
        return RecordBatch(
            "vitals", partition, [b"w"], [orjson.dumps({**record, "books": books})], [1_000], [self.said]
        )

    def _take(self, topic: str, records: list[dict[str, Any]]) -> Verdict:
        batch = []
        for partition in self.held:
            mine = [
                orjson.dumps({k: v for k, v in r.items() if k != "number"})
                for r in records[partition :: len(self.held)]
            ]
            first = self.offsets[topic, partition]
            offsets = list(range(first, first + len(mine)))
            if topic == "comparisons":
                self.statuses[partition].update(r["status"] for r in records[partition :: len(self.held)])
                batch.append(self._vitals(partition))
            if mine:
                batch.append(RecordBatch(topic, partition, [b"r"] * len(mine), [*mine], [1_000] * len(mine), offsets))
                self.offsets[topic, partition] += len(mine)
        self.log += batch
        self.stage.process(batch, 1_000)
        outputs = self.stage.checkpoint(1_000)
        for _, key, value in outputs.records["partials"]:
            self.board.take(key, value)
        for one in self.board.publish():
            if one.topic == "verdicts" and one.value is not None:
                self.value = one.value
                self.found.append(decode(Verdict, one.value))
            elif one.key == f"{TRIAL}|all|all".encode() and one.value is not None:
                self.aggregates = orjson.loads(one.value)
        assert not self.found[-1].fault
        return self.found[-1]


def failing(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"status": "shadow_error", "error": FAILS.format(row % 7)} for row in range(start, start + count)]


def names(verdict: Verdict) -> list[Any]:
    return [one["name"] for one in verdict.obstacles if isinstance(one, dict)]


def criteria(verdict: Verdict) -> dict[str, Any]:
    return {one["name"]: one for one in verdict.criteria if isinstance(one, dict)}


def test_a_shadow_that_fails_on_everything_cannot_run_and_says_why() -> None:
    verdict = Trial(4).compare(*failing(2_013))
    assert verdict.verdict == verdict.shown == "KEEP_WATCHING"
    assert names(verdict) == ["cannot_run"]
    said = "It cannot run: 2,013 of 2,013 requests failed: 'ValueError: could not convert string to float: …' (2,013)."
    assert str(verdict.needed["note"]).startswith(said)
    assert verdict.needed["requests"] is verdict.needed["labels"] is verdict.needed["at_ms"] is None
    assert criteria(verdict)["error_rate"]["state"] == "open"
    assert criteria(verdict)["requests"]["value"] == 0


@pytest.mark.parametrize("every", [45, 60, 2_000])
@pytest.mark.parametrize("partitions", [1, 4])
def test_nearly_all_is_enough_also_where_the_first_row_is_answered(every: int, partitions: int) -> None:
    rows = [{} if row % (every * partitions) < partitions else failing(1, row)[0] for row in range(2_013)]
    verdict = Trial(partitions).compare(*rows)
    assert (verdict.verdict, names(verdict)) == ("KEEP_WATCHING", ["cannot_run"])


def test_it_goes_on_when_the_shadow_is_mended_and_may_be_promoted() -> None:
    trial = Trial(4, min_agreement=0.5, accuracy_margin=None)
    assert names(trial.compare(*failing(400))) == ["cannot_run"]
    assert names(trial.compare(*[{}] * 400)) == []
    verdict = trial.compare(*[{}] * 1_600)
    assert verdict.verdict == "PROMOTE"
    assert criteria(verdict)["error_rate"]["value"] == 0
    assert "Without 440 requests from before it began to run." in criteria(verdict)["error_rate"]["note"]
    assert criteria(verdict)["requests"]["value"] == 1_960
    assert trial.aggregates["summary"]["before_it_ran"] == 440
    assert trial.aggregates["summary"]["errors"]["n"] == 1_960


def test_a_shadow_that_ran_well_and_then_fails_is_sent_back() -> None:
    trial = Trial(4)
    trial.compare(*[{}] * 100)
    verdict = trial.compare(*failing(100))
    assert verdict.verdict == "SEND_BACK"
    assert criteria(verdict)["error_rate"]["state"] == "fails"
    assert criteria(verdict)["error_rate"]["value"] == 0.5


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_one_that_fails_on_some_from_the_start_is_sent_back(share: float) -> None:
    rng = random.Random(share)
    rows = [failing(1)[0] if rng.random() < share else {} for _ in range(2_000)]
    verdict = Trial(4).compare(*rows)
    assert verdict.verdict == "SEND_BACK"
    assert criteria(verdict)["error_rate"]["value"] == pytest.approx(share, abs=0.05)


def test_a_shadow_that_was_mended_and_fails_again_is_sent_back() -> None:
    trial = Trial(1)
    trial.compare(*failing(50))
    trial.compare(*[{}] * 50)
    assert trial.compare(*failing(20)).verdict == "SEND_BACK"


def test_a_few_failures_at_first_count_like_any_others() -> None:
    verdict = Trial(1).compare(*failing(9), *[{}] * 100)
    assert criteria(verdict)["error_rate"]["value"] == pytest.approx(9 / 109)
    assert verdict.verdict == "SEND_BACK"


def test_a_partition_that_is_not_mended_yet_holds_promote_back_and_sends_nobody_back() -> None:
    trial = Trial(1, accuracy_margin=None)
    trial.held = frozenset({0, 1})
    trial.stage = AggregateStage(trial.held, trial.settings)
    trial.statuses[1], trial.offsets["comparisons", 1], trial.offsets["outcomes", 1] = Counter(), 0, 0
    rows = [failing(1)[0] if row % 2 else {} for row in range(4_000)]
    verdict = trial.compare(*rows)
    assert (verdict.verdict, names(verdict)) == ("KEEP_WATCHING", ["runs_in_part"])
    assert criteria(verdict)["running"]["state"] == "open"


def test_a_restart_in_between_and_batches_change_nothing() -> None:
    rng = random.Random(3)
    rows = [failing(1, row)[0] if rng.random() < 0.9 else {} for row in range(60)] + [{}] * 30
    whole, bits = Trial(1), Trial(1)
    whole.compare(*rows)
    for at in range(0, 90, 9):
        bits.compare(*rows[at : at + 9])
        bits.restart()
    for name in (*STARTUP, "reasons", "shadow_errors"):
        assert whole.aggregates["totals"].get(name) == bits.aggregates["totals"].get(name), name
    assert whole.aggregates["totals"]["left_out"] > 0
    assert bits.found[-1].obstacles == whole.found[-1].obstacles


def test_partials_of_an_older_writer_are_of_a_shadow_that_runs() -> None:
    trial = Trial(1)
    trial.compare(*[{}] * 5)
    for key, value in trial.table.items():
        partial = orjson.loads(value)
        partial.pop("beginning", None)
        for name in (*STARTUP, "reasons"):
            partial.get("totals", {}).pop(name, None)
        trial.table[key] = orjson.dumps(partial)
    trial.restart()
    assert trial.compare(*failing(40)).verdict == "SEND_BACK"


def test_sampled_rows_are_left_out_with_their_weight() -> None:
    trial = Trial(1, accuracy_margin=None)
    verdict = trial.compare(*[{**row, "weight": 4.0} for row in failing(50)], *[{"weight": 2.0}] * 400)
    assert criteria(verdict)["error_rate"]["value"] == 0
    assert names(verdict) == []


# What is no use for other reasons.


def uncomparable(count: int, live: Any, shadow: Any) -> list[dict[str, Any]]:
    return [{"agree": None, "distance": None, "live_answer": live, "answer": shadow}] * count


def unjudged(count: int, label: Any) -> list[dict[str, Any]]:
    nothing = dict.fromkeys(("live_correct", "shadow_correct", "live_loss", "shadow_loss"))
    return [{"label": label, "live": {"prediction": 1.0}, "shadow": {"prediction": 1.0}, **nothing}] * count


RIGHT = {
    "label": "a",
    "live_correct": True,
    "shadow_correct": True,
    "live_loss": 0.1,
    "shadow_loss": 0.1,
    "agree": True,
}
HALVES: dict[str, tuple[dict[str, Any], str, str]] = {
    "two outputs": (uncomparable(1, [1, 2], [1, 2])[0], "not_comparable", "a list of 2 and the shadow a list of 2"),
    "one output": (uncomparable(1, [1, 2], 3.5)[0], "not_comparable", "a list of 2 and the shadow a number"),
    "decimal commas": (uncomparable(1, "1,5", 3.5)[0], "not_comparable", "the text '1,5' and the shadow a number"),
    "nothing": (uncomparable(1, None, None)[0], "not_comparable", "answers null and the shadow null"),
    "no live half": ({"status": "live_missing"}, "nothing_compared", "60 have no live prediction"),
    "no request": ({"status": "request_missing"}, "nothing_compared", "60 have a live prediction and no request"),
    "live fails": ({"status": "live_error", "live_error": "no such table"}, "nothing_compared", "'no such table' (60)"),
}


@pytest.mark.parametrize("kind", HALVES)
def test_where_no_row_can_be_compared_no_verdict_is_foretold_and_the_reason_is_named(kind: str) -> None:
    row, name, words = HALVES[kind]
    trial = Trial(1)
    few = trial.compare(*[dict(row)] * 20)
    verdict = trial.compare(*[dict(row)] * 40)
    assert (names(few), names(verdict), verdict.verdict) == ([], [name], "KEEP_WATCHING")
    assert verdict.needed["requests"] is verdict.needed["labels"] is verdict.needed["at_ms"] is None
    assert words in str(verdict.needed["note"])
    assert names(trial.compare({})) == []


def test_labels_that_judge_nobody_are_named() -> None:
    trial = Trial(1)
    trial.compare(*[{}] * 200)
    verdict = trial.label(*unjudged(60, [1, 2]))
    assert names(verdict)[0] == "not_judged"
    assert "none of 60 labels says who was right: 'the label is a list of 2 and the live answer a number' (60)" in str(
        verdict.needed["note"]
    )
    assert verdict.needed["labels"] is None
    assert names(trial.label(*[{**one, "retracts": True} for one in unjudged(60, [1, 2])], *[RIGHT] * 60)) == []


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"max_calibration_error": 0.1}, "unseen:calibration"),
        ({"latency_budget_ms": 5.0, "max_over_budget": 0.1}, "unseen:over_budget"),
    ],
)
def test_a_criterion_of_which_nothing_comes_promises_nothing(limits: dict[str, float], name: str) -> None:
    trial = Trial(1, **limits)
    trial.compare(*[{}] * 1_200)
    verdict = trial.label(*[RIGHT] * 1_200)
    assert names(verdict) == [name]
    note = str(verdict.needed["note"])
    assert "can never be shown" in note
    assert None in (verdict.needed["requests"], verdict.needed["labels"])


@pytest.mark.parametrize(("met", "kept"), [(0, 500), (1, 500), (0, 20)])
def test_labels_that_meet_no_request_are_named_by_page_status_and_doctor(met: int, kept: int) -> None:
    trial = Trial(1)
    trial.compare(*[{}] * 200)
    books = {"labels": {"kept": kept}, "comparisons": {"judged": met, "waiting": 200 - met}}
    record = {"stage": "judge", "shadow": "", "worker": "w", "partition": 0, "timestamp_ms": 1_000, "books": books}
    trial.stage.process([RecordBatch("vitals", 0, [b"w"], [orjson.dumps(record)], [1_000], [99])], 1_000)
    verdict = trial.compare({})
    said = (
        "None of 500 labels has met a request, and 200 compared requests wait for theirs: do both carry the same ids?"
    )
    aggregate = decode(Aggregate, orjson.dumps(trial.aggregates))
    (story,) = tell([Told(TRIAL, [aggregate], [verdict])]).trials
    expected = [said] if (met, kept) == (0, 500) else []
    assert [one for one in story.warnings if "met a request" in one] == expected
    found = unmet({f"{TRIAL}|all|all".encode(): orjson.dumps(trial.aggregates)})
    assert list(found.values()) == expected
    findings = check_trials(Evidence(trial.settings, 1_000, verdicts=(verdict,), unmet=found))
    assert [one.evidence for one in findings] == expected


def test_a_verdict_on_what_could_not_run_is_had_again_from_its_records() -> None:
    trial = Trial(1)
    trial.compare(*failing(60))
    stalled = trial.value
    trial.compare(*[{}] * 200, *failing(3))
    for value in (stalled, trial.value):
        again = Recount(decode(Verdict, value), trial.settings)
        ranges = again.ranges
        for piece in trial.log:
            first, after = ranges.get(piece.input, (0, 0))
            if values := [value for value, at in zip(piece.values, piece.offsets, strict=True) if first <= at < after]:
                nothing = [0] * len(values)
                again.take(RecordBatch(piece.topic, piece.partition, [b"r"] * len(values), values, nothing, nothing))
        assert encode(again.result()) == value


# Reasons.


def test_reasons_merge_in_any_order_and_their_number_has_a_bound() -> None:
    texts = [f"{word} {number} of 'x'" for word in "abcdefghijkl" for number in (1, 2)] * 3
    parts = []
    for seed in range(3):
        random.Random(seed).shuffle(texts)
        found = Reasons()
        for text in texts:
            found.add(FAILED, *form(text))
        parts.append(found)
    one, other = Reasons(), Reasons()
    for part in parts:
        one.absorb(part)
    for part in reversed(parts):
        other.absorb(part)
    assert one.to_record() == other.to_record() == Reasons.from_record(one.to_record()).to_record()
    assert one.commonest(FAILED)[0] == ("a … of 'x'", 18)
    trial = Trial(1)
    trial.compare(*[{"status": "shadow_error", "error": text} for text in texts])
    kept = trial.aggregates["totals"]["reasons"]
    assert len(kept) == MOST + 1
    assert sum(row[2] for row in kept) == len(texts)


@pytest.mark.parametrize("rows", [[["failed", "a …", 1, []]], [["failed"]], [["failed", "a", "x", []]], 7])
def test_what_is_no_reasons_is_refused(rows: Any) -> None:
    with pytest.raises((ValueError, TypeError, IndexError)):
        Reasons.from_record(rows)


# Wherever a verdict is shown.


def test_everywhere_a_verdict_is_shown_it_says_so() -> None:
    trial = Trial(4)
    verdict = trial.compare(*failing(500))
    said = "It cannot run: 500 of 500 requests failed: 'ValueError: could not convert string to float: …' (500)."
    (story,) = tell([Told(TRIAL, (), [verdict])]).trials
    assert story.why.startswith(said)
    assert story.headline == "Not yet: new@2 cannot run."
    with pytest.raises(NotAllowed, match=r"only a PROMOTE may be promoted\. It cannot run: 500 of 500"):
        check_verdict(Standing("t", verdict), "promote")
    assert needed_sentence(verdict.needed, verdict.decided_ms).startswith(said)
    found = going({TRIAL.encode(): encode(verdict)}, {}, {"new": "2"})
    (finding,) = check_trials(Evidence(trial.settings, 1_000, verdicts=found))
    assert (finding.severity, finding.evidence[: len(said)]) == ("problem", said)
    assert going({TRIAL.encode(): encode(verdict)}, {}, {"new": "3"}) == ()
    (change,) = changes([NotifySettings("chat", "https://chat.example")], [verdict], {})
    assert said in orjson.loads(TEMPLATES["chat"](change, "1"))["text"]
    known = {f"{TRIAL}|told|chat".encode(): change.told(5)}
    assert not list(changes([change.receiver], [verdict], known))
    (mended,) = changes([change.receiver], [replace(verdict, obstacles=[])], known)
    assert "What was in the way is no more" in orjson.loads(TEMPLATES["chat"](mended, "2"))["text"]
