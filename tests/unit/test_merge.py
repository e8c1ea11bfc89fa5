"""Partials merged: aggregates, books that close or say why not, and a verdict that follows from them alone."""

import random
from collections import Counter
from typing import Any

import orjson
import pytest

from downstream import Downstream
from shadowbus.agents.aggregates import Aggregates
from shadowbus.agents.faust_app import faust_kafka
from shadowbus.decide.evidence import counts_of
from shadowbus.decide.reconciliation import STILL_MS, Counted, close_books
from shadowbus.errors import Malformed, SettingsError
from shadowbus.records import Partial, encode
from shadowbus.settings import GateSettings, Settings
from shadowbus.summary.metrics import summarize
from shadowbus.summary.view import SummaryOptions
from shadowbus.totals.key import Key
from shadowbus.totals.totals import INDEX, Totals

TRIAL = "live@1~new@2"
SETTINGS = Settings("test", 2, gate=GateSettings(min_requests=10, max_error_rate=0.5))


def totals(**counts: int) -> Totals:
    made = Totals(first_ms=1, last_ms=2)
    for name, count in counts.items():
        made.counts[INDEX[name]] = count
    return made


def partial(source: int, at: int, key: Key | None = None, **counts: int) -> tuple[bytes, bytes]:
    key = key or Key(TRIAL)
    record = Partial(*key, source, {"comparisons": at}, totals(**counts).to_record(), updated_ms=1_000 + at)
    return f"{key.text()}|{source}".encode(), encode(record)


def page(read: int, **others: int) -> dict[str, int]:
    return {"read": read, "duplicates": 0, "dead_lettered": 0, "waiting": 0, "sampled_out": 0, **others}


def vitals(
    requests: dict[str, int], predictions: dict[str, int], comparisons: dict[str, dict[str, int]], **notes: Any
) -> dict[str, Any]:
    books = {"requests": requests, "predictions": predictions, "comparisons": comparisons}
    return {"books": books, "claimed_since_ms": 0, "behind": 0, "written_ms": 0, **notes}


def vitals_row(source: int, at: int, record: dict[str, Any]) -> tuple[bytes, bytes]:
    return f"{TRIAL}|vitals|replay|{source}".encode(), orjson.dumps({**record, "next_offsets": {"vitals": at}})


def everything(board: Downstream) -> dict[tuple[str, str], Any]:
    return {
        (publication.topic, publication.key.decode()): None
        if publication.value is None
        else orjson.loads(publication.value)
        for publication in board.publish()
    }


class TestBooks:
    def test_they_close_when_every_record_became_something(self) -> None:
        replay = vitals(
            page(20, duplicates=2, dead_lettered=1, waiting=3),
            page(18, waiting=2, duplicates=1),
            {TRIAL: {"compared": 8, "live_missing": 1, "request_missing": 2}, "live@0~new@2": {"compared": 5}},
        )
        statuses = {"compared": 8, "live_missing": 1, "request_missing": 2}
        books = close_books(TRIAL, {0: Counted(statuses, 0)}, {0: replay})
        assert books["requests"] == {
            **page(20, duplicates=2, dead_lettered=1, waiting=3),
            "compared": {"compared": 13, "live_missing": 1},
            "gap": 0,
        }
        assert books["predictions"]["compared"] == {"compared": 13, "request_missing": 2}
        assert (books["counted"], books["claimed"]) == (11, 11)
        assert (books["settled"], books["closes"], books["gap"], books["note"]) == (True, True, 0, "")

    def test_what_was_sampled_out_is_accounted_for_on_both_sides_and_the_smallest_share_shows(self) -> None:
        half = vitals(page(8, sampled_out=5), page(7, sampled_out=4), {TRIAL: {"compared": 3}}, share=0.5)
        full = vitals(page(2), page(2), {TRIAL: {"compared": 2}}, share=1.0)
        counted = {0: Counted({"compared": 3}, 0), 1: Counted({"compared": 2}, 0)}
        books = close_books(TRIAL, counted, {0: half, 1: full})
        assert (books["closes"], books["share"], books["requests"]["sampled_out"]) == (True, 0.5, 5)
        half["books"]["requests"]["sampled_out"] = 4
        assert close_books(TRIAL, counted, {0: half, 1: full})["gap"] == 1

    def test_a_request_that_became_nothing_is_a_gap_with_its_partition(self) -> None:
        good = vitals(page(5), page(5), {TRIAL: {"compared": 5}})
        bad = vitals(page(9), page(7), {TRIAL: {"compared": 7}})
        counted = {0: Counted({"compared": 5}, 0), 1: Counted({"compared": 7}, 0)}
        books = close_books(TRIAL, counted, {0: good, 1: bad})
        assert (books["gap"], books["closes"], books["requests"]["gap"], books["predictions"]["gap"]) == (
            2,
            False,
            2,
            0,
        )
        assert books["note"] == "2 requests of partition 1 are unaccounted for."

    def test_gaps_of_opposite_sign_do_not_cancel(self) -> None:
        more = vitals(page(6), page(5), {TRIAL: {"compared": 5}})
        less = vitals(page(4), page(5), {TRIAL: {"compared": 5}})
        counted = {0: Counted({"compared": 5}, 0), 1: Counted({"compared": 5}, 0)}
        assert close_books(TRIAL, counted, {0: more, 1: less})["gap"] == 2

    @pytest.mark.parametrize(("counted", "written_ms"), [(7, 100_000), (5, STILL_MS - 1)])
    def test_comparisons_on_their_way_are_unsettled_but_no_gap(self, counted: int, written_ms: int) -> None:
        replay = vitals(page(6), page(6), {TRIAL: {"compared": 6}}, written_ms=written_ms)
        books = close_books(TRIAL, {0: Counted({"compared": counted}, 99_000 if counted == 7 else 0)}, {0: replay})
        assert (books["settled"], books["closes"]) == (False, True)

    @pytest.mark.parametrize("counted", [{"compared": 5}, {"compared": 7}, {"shadow_error": 6}, {}])
    def test_a_difference_that_stays_is_a_gap(self, counted: dict[str, int]) -> None:
        replay = vitals(page(6), page(6), {TRIAL: {"compared": 6}}, written_ms=STILL_MS)
        books = close_books(TRIAL, {0: Counted(counted, 0)}, {0: replay})
        assert books["gap"] == sum((Counter(counted) - Counter(compared=6)).values()) + sum(
            (Counter(compared=6) - Counter(counted)).values()
        )
        assert "Replay wrote 6 comparisons to partition 0" in books["note"]

    @pytest.mark.parametrize(("counted", "told"), [(5, "are not counted"), (8, "are counted though")])
    def test_a_lost_comparison_is_a_gap_at_once_under_any_traffic(self, counted: int, told: str) -> None:
        replay = vitals(page(9), page(9), {TRIAL: {"compared": 9}}, behind=4)
        books = close_books(TRIAL, {0: Counted({"compared": counted}, 99_000, number=7)}, {0: replay})
        assert (books["gap"], books["closes"]) == (abs(7 - counted), False)
        assert books["note"].startswith(f"{abs(7 - counted)} comparisons of partition 0 {told}")
        assert close_books(TRIAL, {0: Counted({"compared": 7}, 99_000, number=7)}, {0: replay})["closes"]

    def test_a_difference_is_no_gap_while_the_aggregate_is_behind(self) -> None:
        replay = vitals(page(6), page(6), {TRIAL: {"compared": 6}}, written_ms=STILL_MS, behind=1)
        assert close_books(TRIAL, {}, {0: replay})["closes"] is True

    def test_comparisons_without_books_are_not_accounted_for(self) -> None:
        books = close_books(TRIAL, {3: Counted({"compared": 4}, 0)}, {})
        assert (books["gap"], books["settled"]) == (4, False)
        assert books["note"] == "Replay has not yet reported its books of partition 3."

    def test_books_of_another_shape_are_a_gap_and_never_an_error(self) -> None:
        odd: dict[str, Any] = {"books": {"requests": 7, "comparisons": {TRIAL: {"compared": "many"}}}}
        assert close_books(TRIAL, {0: Counted({"compared": 4}, 0)}, {0: odd})["settled"] is False


class TestBoard:
    def test_partitions_add_up(self) -> None:
        board = Downstream(SETTINGS)
        board.take(*partial(0, 5, compared=4, shadow_error=1, agreed=3, disagreed=1))
        board.take(*partial(1, 9, compared=6, agreed=6))
        aggregate = everything(board)["aggregates", f"{TRIAL}|all|all"]
        assert aggregate["totals"]["statuses"] == {"compared": 10, "shadow_error": 1}
        assert aggregate["summary"]["requests"] == 11
        assert aggregate["summary"]["agreement"]["value"] == 0.9
        assert aggregate["books"]["next_offsets"] == {"0": {"comparisons": 5}, "1": {"comparisons": 9}}
        assert aggregate["updated_ms"] == 1_009

    def test_any_order_and_any_redelivery_end_in_the_same(self) -> None:
        rng = random.Random(1)
        stream = [partial(source, at, compared=at) for at in range(1, 8) for source in (0, 1)]
        straight = Downstream(SETTINGS)
        for key, value in stream:
            straight.take(key, value)
        expected = everything(straight)
        for _ in range(20):
            shuffled = [*stream, *rng.choices(stream, k=10)]
            rng.shuffle(shuffled)
            board = Downstream(SETTINGS)
            for key, value in shuffled:
                board.take(key, value)
            assert everything(board) == expected

    def test_what_has_not_changed_is_not_published_again(self) -> None:
        board = Downstream(SETTINGS)
        row = partial(0, 5, compared=4)
        board.take(*row)
        assert {topic for topic, _ in everything(board)} == {"aggregates", "verdicts"}
        board.take(*row)
        assert everything(board) == {}
        board.take(*partial(0, 4, compared=3))
        assert everything(board) == {}

    def test_an_aggregate_that_could_not_be_published_is_published_again(self) -> None:
        agents = Aggregates(SETTINGS)
        agents.take(*partial(0, 5, compared=4))
        first = list(agents.changes(lambda _: True))
        for key, _ in first:
            agents.forget(key)
        assert list(agents.changes(lambda _: True)) == first

    def test_only_trials_that_are_owned_are_published_and_the_others_wait(self) -> None:
        agents = Aggregates(SETTINGS)
        agents.take(*partial(0, 5, compared=4))
        assert list(agents.changes(lambda _: False)) == []
        assert list(agents.changes(lambda _: True))

    def test_a_trial_that_cannot_be_merged_stops_no_other_one(self, caplog: pytest.LogCaptureFixture) -> None:
        agents = Aggregates(SETTINGS)
        other = partial(0, 5, Key("live@1~odd@1"), compared=4, agreed=9, disagreed=-5)
        for row in (other, partial(0, 5, compared=4)):
            agents.take(*row)
        assert [key.decode().split("|")[0] for key, _ in agents.changes(lambda _: True)] == [TRIAL]
        assert "live@1~odd@1 cannot be merged" in caplog.text

    def test_a_window_without_partials_is_deleted(self) -> None:
        board = Downstream(SETTINGS)
        window = Key(TRIAL, "all", "60000")
        for source in (0, 1):
            board.take(*partial(source, 5, compared=4))
            board.take(*partial(source, 5, window, compared=4))
        assert everything(board)["aggregates", window.text()]["totals"]["statuses"] == {"compared": 8}
        board.take(f"{window.text()}|0".encode(), None)
        assert everything(board)["aggregates", window.text()]["totals"]["statuses"] == {"compared": 4}
        board.take(f"{window.text()}|1".encode(), None)
        assert everything(board) == {("aggregates", window.text()): None}

    def test_agents_over_the_same_partials_publish_the_same_bytes(self) -> None:
        board = Downstream(SETTINGS)
        for source in (0, 1):
            board.take(*partial(source, 500, compared=400, agreed=300, disagreed=100))
            board.take(*vitals_row(source, 1, vitals(page(400), page(400), {TRIAL: {"compared": 400}})))
        first = {one for one in board.publish() if one.topic == "aggregates"}
        board.restart()
        assert set(board.publish()) == first  # and no verdict: it says the same

    def test_a_gap_in_the_books_blocks_promote_and_is_named(self) -> None:
        for read, verdict in ((900, "PROMOTE"), (901, "KEEP_WATCHING")):
            board = Downstream(SETTINGS)
            board.take(*partial(0, 900, compared=900, agreed=900))
            board.take(*vitals_row(0, 1, vitals(page(read), page(900), {TRIAL: {"compared": 900}})))
            record = everything(board)["verdicts", TRIAL]
            assert record["verdict"] == verdict
            assert record["books"]["gap"] == read - 900
            notes = [criterion["note"] for criterion in record["criteria"] if criterion["name"] == "books"]
            assert notes == (["1 requests of partition 0 are unaccounted for."] if read > 900 else [])

    def test_segments_are_part_of_the_evidence(self) -> None:
        gate = GateSettings(min_requests=0, accuracy_margin=0.01)
        board = Downstream(Settings("test", 2, gate=gate))
        board.take(*partial(0, 5, compared=9, labels=2000, both_right=1000, live_only=0, shadow_only=1000))
        board.take(*partial(0, 5, Key(TRIAL, "country=DE"), labels=1000, live_only=900, both_right=100))
        record = everything(board)["verdicts", TRIAL]
        assert record["verdict"] == "SEND_BACK"
        assert {c["name"]: c["state"] for c in record["criteria"]}["accuracy:country=DE"] == "fails"

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            (None, b"{}"),
            (b"a|b", b"{}"),
            (b"a|all|all|x", b"{}"),
            (b"a|all|all|0", b"{"),
            (b"a|all|all|0", b'{"next_offsets": {"comparisons": "1"}}'),
            (b"a|all|all|0", b'{"next_offsets": {}}'),
        ],
    )
    def test_what_is_no_partial_is_refused_and_changes_nothing(self, key: bytes | None, value: bytes) -> None:
        board = Downstream(SETTINGS)
        board.take(key, value)
        assert len(board.letters) == 1
        assert everything(board) == {}
        with pytest.raises(Malformed):
            Aggregates(SETTINGS).take(key, value)


def test_the_summary_is_ready_to_read() -> None:
    some = totals(compared=90, shadow_error=10, request_missing=5, shadow_errors=10, agreed=60, disagreed=30)
    some.absorb(totals(labels=40, both_right=20, shadow_only=10, live_only=5, both_wrong=5))
    summary = summarize(some, SummaryOptions(0.05))
    assert (summary["requests"], summary["labels"]) == (100, 40)
    assert summary["errors"]["value"] == 0.1
    assert summary["errors"]["low"] < 0.1 < summary["errors"]["high"]
    assert summary["agreement"]["value"] == pytest.approx(2 / 3)
    accuracy = summary["accuracy"]
    assert (accuracy["live"], accuracy["shadow"], accuracy["difference"]) == (0.625, 0.75, 0.125)
    assert accuracy["low"] < 0.125 < accuracy["high"]
    assert summary["over_budget"] == {"value": None, "low": None, "high": None, "n": 0}
    assert summary["live_latency_ms"] == {"p50": None, "p95": None, "p99": None, "n": 0, "timed": None}
    assert summarize(some, SummaryOptions(None))["errors"] == {"value": 0.1, "low": None, "high": None, "n": 100}


def test_failures_are_told_apart_and_label_coverage_by_agreement() -> None:
    some = totals(compared=80, shadow_timeout=15, shadow_error=5, live_missing=10, shadow_errors=20, live_errors=9)
    some.absorb(totals(agreed=60, disagreed=20, labels=40, labelled_agreed=36, labelled_disagreed=4))
    summary = summarize(some, SummaryOptions(0.05))
    assert summary["failures"] == {
        "shadow_error": 5,
        "shadow_timeout": 15,
        "shadow_crash": 0,
        "shadow_unavailable": 0,
    }
    assert (summary["timeouts"]["value"], summary["timeouts"]["n"]) == (15 / 110, 110)
    assert summary["timeouts"]["low"] < 15 / 110 < summary["timeouts"]["high"]
    assert summary["live_errors"] == {"value": 0.09, "low": None, "high": None, "n": 100}
    coverage = summary["coverage"]
    assert (coverage["value"], coverage["n"]) == (0.5, 80)
    assert coverage["agreed"] == {"value": 0.6, "n": 60}
    assert coverage["disagreed"] == {"value": 0.2, "n": 20}


def test_a_prediction_without_a_request_is_no_request_to_the_gate() -> None:
    counts = counts_of(totals(compared=8, shadow_timeout=2, request_missing=3, shadow_errors=2))
    assert (counts.comparisons, counts.asked, counts.shadow_errors) == (10, 10, 2)


class TestFaustKafka:
    def test_plain_addresses(self) -> None:
        kafka = faust_kafka({"bootstrap.servers": "a:1, PLAINTEXT://b:2", "client.id": "x", "linger.ms": 5})
        assert (kafka.brokers, kafka.tls, kafka.sasl) == (("kafka://a:1", "kafka://b:2"), None, None)

    def test_a_login_over_tls(self) -> None:
        kafka = faust_kafka(
            {
                "bootstrap.servers": "a:1",
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "SCRAM-SHA-512",
                "sasl.username": "me",
                "sasl.password": "secret",
                "ssl.endpoint.identification.algorithm": "none",
            }
        )
        assert kafka.sasl is not None
        assert (kafka.sasl.mechanism, kafka.sasl.username, kafka.sasl.password) == ("SCRAM-SHA-512", "me", "secret")
        assert kafka.tls is not None
        assert kafka.tls.check_hostname is False

    @pytest.mark.parametrize(
        ("properties", "reason"),
        [
            ({}, "bootstrap.servers"),
            ({"bootstrap.servers": "a:1", "ssl.keystore.location": "x"}, "ssl.keystore.location"),
            ({"bootstrap.servers": "a:1", "security.protocol": "magic"}, "security.protocol"),
            ({"bootstrap.servers": "a:1", "security.protocol": "sasl_ssl", "sasl.mechanism": "GSSAPI"}, "GSSAPI"),
            (
                {"bootstrap.servers": "a:1", "security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN"},
                "username",
            ),
            (
                {"bootstrap.servers": "a:1", "security.protocol": "ssl", "ssl.ca.location": "missing.pem"},
                "cannot be used",
            ),
        ],
    )
    def test_what_the_agents_cannot_do_is_said(self, properties: dict[str, object], reason: str) -> None:
        with pytest.raises(SettingsError, match=reason):
            faust_kafka(properties)
