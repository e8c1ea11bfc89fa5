"""What came of a round, computed from the topics by plain counting, and compared with what the product says."""

import time
from collections import Counter
from typing import Any

import orjson

from chaos.forgery import BAD, Forgery
from chaos.offered import BROKEN, LARGE, Offered
from recomputed import Recomputed
from shadowbus.cli.read.verify import verify
from shadowbus.records import Verdict, decode
from topic_log import Record, log_of
from traffic import Stream
from verdict_chain import assert_each_change_once

FAILURES = ("shadow_error", "shadow_timeout", "shadow_crash", "shadow_unavailable")
"""What a comparison may be instead of compared while its model is being killed."""

MOST_FAILURES = 0.02


class Evidence:
    """The committed records of a round.

    Args:
        stream: Where to look.
        offered: What was sent.
        forgery: What was forged.
    """

    def __init__(self, stream: Stream, offered: Offered, forgery: Forgery) -> None:
        self.stream, self.offered, self.forgery = stream, offered, forgery
        self.counts: dict[str, int] = {}
        self.labels = Counter[str]()
        self.trials = {shadow.name: f"champion@1~{shadow.name}@2" for shadow in stream.settings.shadow}

    def log(self, topic: str) -> list[Record]:
        return log_of(self.stream.bootstrap, self.stream.topic(topic))

    def count(self, topic: str) -> int:
        """How many records there are; of traffic, which nobody sends any more."""
        if topic not in self.counts:
            self.counts[topic] = len(self.log(topic))
        return self.counts[topic]

    def parsed(self, topic: str) -> list[dict[str, Any]]:
        return [orjson.loads(record.value) for record in self.log(topic) if record.value is not None]

    def newest(self, topic: str) -> dict[bytes, dict[str, Any]]:
        return {record.key: orjson.loads(record.value) for record in self.log(topic) if record.value is not None}

    def check(self) -> dict[str, Any]:
        """Everything that has to be so; returns the figures worth showing."""
        comparisons, outcomes = self.parsed("comparisons"), self.parsed("outcomes")
        statuses = self.comparisons_are_as_expected(comparisons)
        self.outcomes_are_as_expected(comparisons, outcomes)
        self.dead_letters_are_as_expected()
        self.books_are_closed(statuses)
        self.aggregates_are_what_comparisons_and_outcomes_add_up_to(comparisons, outcomes)
        self.verdicts_are_had_again()
        self.verdicts_changed_once_each()
        self.the_bad_trial_is_named_and_alone()
        return {"comparisons": len(comparisons), "outcomes": len(outcomes), "statuses": statuses}

    def comparisons_are_as_expected(self, comparisons: list[dict[str, Any]]) -> dict[str, Counter[str]]:
        """Each request that can be read has one comparison for each shadow, of the right status."""
        found = Counter((one["trial"], one["request_id"]) for one in comparisons)
        wanted = {(trial, request_id) for trial in self.trials.values() for request_id in self.offered.expected}
        twice, missing, odd = {key for key in found if found[key] > 1}, wanted - found.keys(), found.keys() - wanted
        wrong = {name: sorted(keys) for name, keys in (("twice", twice), ("missing", missing), ("odd", odd)) if keys}
        assert not wrong, {name: (len(keys), keys[:5]) for name, keys in wrong.items()}
        statuses = {trial: Counter[str]() for trial in self.trials.values()}
        for one in comparisons:
            status, expected = one["status"], self.expected(one["trial"], one["request_id"])
            assert status == expected or (expected == "compared" and status in FAILURES), one
            statuses[one["trial"]][status] += 1
        for trial, counts in statuses.items():
            assert sum(counts[status] for status in FAILURES) <= MOST_FAILURES * counts.total(), (trial, counts)
        return statuses

    def expected(self, trial: str, request_id: str) -> str:
        """The status of the comparison, while nobody kills the model."""
        status = self.offered.expected[request_id]
        large = status == "compared" and trial == self.trials.get(LARGE) and request_id in self.offered.large
        return "shadow_error" if large else status

    def outcomes_are_as_expected(self, comparisons: list[dict[str, Any]], outcomes: list[dict[str, Any]]) -> None:
        """Each label has one outcome for each comparison in which both models answered."""
        found = Counter((one["trial"], one["request_id"]) for one in outcomes)
        assert found == self.wanted_outcomes(comparisons)

    def wanted_outcomes(self, comparisons: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
        return Counter(
            (one["trial"], one["request_id"])
            for one in comparisons
            if one["status"] == "compared" and one["request_id"] in self.offered.labels
        )

    def dead_letters_are_as_expected(self) -> None:
        """Each record too many and each that cannot be read is set aside, once by each shadow's replay."""
        wanted = Counter[tuple[str, int, int]]()
        for topic, shares in (("requests", len(self.trials)), ("predictions", len(self.trials)), ("labels", 1)):
            seen: set[bytes] = set()
            for record in self.log(topic):
                twice = topic != "labels" and record.key in seen
                if twice or record.value == BROKEN or (topic, record.key) in self.offered.refused:
                    wanted[self.stream.topic(topic), record.partition, record.offset] = shares
                seen.add(record.key)
        found = Counter(
            (letter["topic"], letter["partition"], letter["offset"]) for letter in self.parsed("dead-letters")
        )
        partials = self.stream.topic("partials")
        forged = {(partition, offset) for topic, partition, offset in found if topic == partials}
        # One that decide believed before a restart is not looked at again.
        assert forged <= self.forgery.places, [one for one in self.parsed("dead-letters") if one["topic"] == partials]
        assert {origin: count for origin, count in found.items() if origin[0] != partials} == wanted

    def books_are_closed(self, statuses: dict[str, Counter[str]]) -> None:
        """What replay says it read is what is there, and became what it says."""
        latest = {
            (one["shadow"], one["partition"]): one["books"] for one in self.parsed("vitals") if one["stage"] == "replay"
        }
        for shadow, trial in self.trials.items():
            books = [book for (name, _), book in latest.items() if name == shadow]
            claimed = Counter[str]()
            for book in books:
                claimed.update(book["comparisons"].get(trial, {}))
            assert claimed == statuses[trial]
            for side, absent in (("requests", "request_missing"), ("predictions", "live_missing")):
                sums = Counter[str]()
                for book in books:
                    sums.update({name: count for name, count in book[side].items() if name != "next_offset"})
                compared = sum(count for status, count in claimed.items() if status != absent)
                assert sums["read"] == self.count(side), (shadow, side, sums)
                assert sums["waiting"] == self.offered.waiting[side], (shadow, side, sums)
                assert sums["read"] == compared + sums["duplicates"] + sums["dead_lettered"] + sums["waiting"], (
                    side,
                    sums,
                )

    def aggregates_are_what_comparisons_and_outcomes_add_up_to(
        self, comparisons: list[dict[str, Any]], outcomes: list[dict[str, Any]]
    ) -> None:
        """The totals of each whole trial, and of each country in it, are those that pandas works out."""
        oracle = Recomputed(comparisons, outcomes)
        found = self.newest("aggregates")
        for trial in self.trials.values():
            for segment in ("all", "country=DE", "country=FR"):
                oracle.agrees_with(found[f"{trial}|{segment}|all".encode()]["totals"], trial, segment)
            books = found[f"{trial}|all|all".encode()]["books"]
            assert books["closes"], books
            assert books["gap"] == 0
            assert books["settled"]

    def verdicts_are_had_again(self) -> None:
        """Byte for byte, from comparisons, outcomes and vitals."""
        settings = self.stream.settings
        values = {key: record.value for record in self.log("verdicts") if (key := record.key) in self.keys()}
        assert values.keys() == self.keys()
        for value in values.values():
            assert value is not None
            assert "the same, byte for byte" in verify(settings, decode(Verdict, value), value)

    def verdicts_changed_once_each(self) -> None:
        """A committed reader sees each change of a verdict once, whatever was done to who decides."""
        written = self.parsed("verdicts")
        for trial in self.trials.values():
            assert_each_change_once([one for one in written if one["trial"] == trial])

    def the_bad_trial_is_named_and_alone(self) -> None:
        """The trial that nobody can decide has a verdict that says so, and no other has a fault."""
        assert self.forgery.places, "nothing was forged"
        faults = {one["trial"]: one["fault"] for one in self.newest("verdicts").values()}
        assert faults.pop(BAD)
        assert faults == dict.fromkeys(self.trials.values(), "")

    def keys(self) -> set[bytes]:
        """Those of the verdicts."""
        return {trial.encode() for trial in self.trials.values()}

    def complete(self) -> bool:
        """Whether aggregates and verdicts have counted every comparison and every outcome there has to be."""
        found = self.newest("aggregates")
        whole = {trial: found.get(f"{trial}|all|all".encode()) for trial in self.trials.values()}
        if any(
            one is None
            or sum(one["totals"]["statuses"].values()) != len(self.offered.expected)
            or not one["books"]["settled"]
            for one in whole.values()
        ):
            return False
        verdicts = self.newest("verdicts")
        if any(
            (one := verdicts.get(trial.encode())) is None
            or one["books"].get("counted") != len(self.offered.expected)
            or not one["books"]["settled"]
            for trial in self.trials.values()
        ):
            return False
        if not self.labels:
            wanted = self.wanted_outcomes(self.parsed("comparisons"))
            self.labels = Counter(trial for trial, _ in wanted)
        counted = {trial: one["totals"]["labels"] for trial, one in whole.items() if one}
        return counted == self.labels == {trial: verdicts[trial.encode()]["labels"] for trial in self.trials.values()}


def wait_until_complete(evidence: Evidence, seconds: float, watch: Any) -> None:
    """Wait for the last of it to be counted, and watch the workers meanwhile."""
    deadline = time.monotonic() + seconds
    while not evidence.complete():
        assert time.monotonic() < deadline, f"not complete after {seconds:.0f} s: {evidence.stream.logs()[-6000:]}"
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            watch()
            time.sleep(0.05)
