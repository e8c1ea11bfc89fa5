"""Who has to be told what: verdicts and what was told on one side, messages on the other. Pure."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shadowbus.records import Told, Verdict
from shadowbus.settings.webhook import NotifySettings
from shadowbus.verdict.obstacles import names

UNTOLD = "KEEP_WATCHING"
"""What everybody assumes of a trial of which nothing was said."""


@dataclass(frozen=True, slots=True)
class Change:
    """A verdict, or what is in its way, that a receiver does not know of; `count` is the how manyth of this trial."""

    receiver: NotifySettings
    verdict: Verdict
    before: str
    count: int

    @property
    def wanted(self) -> bool:
        """Whether the receiver wants to be told; else it is only written down."""
        return self.verdict.verdict in self.receiver.on

    def told(self, now_ms: int) -> Told:
        """What to write down when that is done."""
        return Told(
            self.verdict.trial,
            self.receiver.name,
            self.verdict.verdict,
            self.count,
            self.wanted,
            told_ms=now_ms,
            obstacles=list(names(self.verdict.obstacles)),
        )

    def id(self, namespace: str) -> str:
        """The same for this change however often it is posted, and another one for every other change."""
        parts = (namespace, self.receiver.name, self.verdict.trial, self.verdict.verdict, str(self.count))
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]


def told_key(trial: str, receiver: str) -> bytes:
    """The key under which it is kept what a receiver knows of a trial."""
    return f"{trial}|told|{receiver}".encode()


def changes(
    receivers: Iterable[NotifySettings], verdicts: Iterable[Verdict], told: Mapping[bytes, Told]
) -> Iterator[Change]:
    """What is to be told or written down now.

    Args:
        receivers: Everybody who is told.
        verdicts: The newest verdict of each trial.
        told: What each receiver knows, by `told_key`.
    """
    by_trial = sorted(verdicts, key=lambda one: (one.decided_ms, one.trial))
    for receiver in receivers:
        for verdict in by_trial:
            last = told.get(told_key(verdict.trial, receiver.name))
            before = last.verdict if last else UNTOLD
            known = last.obstacles if last else []
            if verdict.verdict != before or names(verdict.obstacles) != known:
                yield Change(receiver, verdict, before, 1 + (last.count if last else 0))
