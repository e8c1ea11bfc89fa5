"""Partials that no worker of a round has written: of a trial that nobody can decide, and of counts that cannot be."""

import copy
from typing import Any

import orjson

from shadowbus.partitioners import partition_of
from topic_log import log_of
from traffic import Stream

BAD = "live@1~bad@2"
"""A trial with more answers that agreed than there are; a confidence sequence refuses it."""

BEYOND = 10**15
"""No partition has so many records."""

MOMENTS = (0.25, 0.5, 0.75)
"""When, as shares of the round: workers are killed before, between and after."""


class Forgery:
    """Forges partials out of the newest true one of source partition 0.

    Args:
        stream: Where to.
        trial: The good trial whose counts are forged too.
        seconds: How long the round lasts.
    """

    def __init__(self, stream: Stream, trial: str, seconds: float) -> None:
        self.stream, self.trial = stream, trial
        self.due = [share * seconds for share in MOMENTS]
        self.places: set[tuple[int, int]] = set()

    def keep_pace(self, now: float) -> None:
        """Forge what is due, if there is anything to forge.

        Args:
            now: Seconds since the beginning.
        """
        if self.due and self.due[0] <= now:
            self.due.pop(0)
            key = f"{self.trial}|all|all|0".encode()
            log = log_of(self.stream.bootstrap, self.stream.topic("partials"))
            rows = [orjson.loads(one.value) for one in log if one.key == key and one.value is not None]
            if true := [row for row in rows if row["next_offsets"]["comparisons"] < BEYOND]:
                self._forge(true[-1])

    def _forge(self, true: dict[str, Any]) -> None:
        odd = copy.deepcopy(true)
        odd["trial"] = BAD
        odd["totals"] |= {"statuses": {"compared": 5}, "agreed": 9, "disagreed": -4}
        self._send(odd, None)
        beyond = {**true, "next_offsets": {"comparisons": BEYOND}}
        self._send(beyond, lambda _, message: self.places.add((message.partition(), message.offset())))

    def _send(self, record: dict[str, Any], delivered: Any) -> None:
        trial = record["trial"]
        self.stream.producer.produce(
            self.stream.topic("partials"),
            key=f"{trial}|all|all|0",
            value=orjson.dumps(record),
            partition=partition_of(trial.encode(), self.stream.settings.partitions),
            on_delivery=delivered,
        )
