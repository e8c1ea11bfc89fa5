"""The worker that tells people: it follows the verdicts topic, posts what changed, and keeps there what it has told.

In: verdicts, and what each receiver was told. Out: posts, and a record of each. A change is written down after the
receiver has taken it, so a crash in between posts it once more, under the same id (`Idempotency-Key`); nothing else is
posted twice, and nothing is lost. More workers of one namespace share the trials.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from shadowbus.clock import Deadline, monotonic, now_ms
from shadowbus.errors import Malformed, Retry
from shadowbus.kafka.clients import answers
from shadowbus.kafka.publisher import Publisher
from shadowbus.kafka.read.group_table import GroupTable
from shadowbus.kafka.worker.restarts import STEADY_SECONDS, Restarts
from shadowbus.notify.due import Change, changes, told_key
from shadowbus.notify.messages import TEMPLATES
from shadowbus.processes.supervised import Backoff
from shadowbus.records import Told, Verdict, encode
from shadowbus.records.published import read_told, read_verdict
from shadowbus.settings import Settings
from shadowbus.topology import VERDICTS
from shadowbus.webhook.post import Answer, Later, Refused, Taken, post
from shadowbus.webhook.signature import signed

POLL_S = 0.2
WRITE_S = 30.0
BACKOFF = Backoff(first=1.0, most=300.0)

logger = logging.getLogger("shadowbus.notify")


@dataclass(slots=True)
class Tries:
    """How often a change was posted in vain, and when it is tried again (None: not before the next start)."""

    failures: int = 0
    due: float | None = 0.0


@dataclass(slots=True)
class Teller:
    """Posts changes, one after the other; what fails waits for its time while others go on.

    A receiver that did not take one is asked nothing more in that round, however much it has to be told: it costs the
    others one post. What has failed least comes first, so a message that is never taken keeps no other back.
    """

    settings: Settings
    publisher: Publisher
    tries: dict[str, Tries] = field(default_factory=dict)

    def tell(self, rows: Mapping[bytes, tuple[int, bytes]], stop: threading.Event) -> None:
        """Post what is due, and write down what was taken.

        Args:
            rows: The newest records of the verdicts topic, with their partitions.
            stop: Set it to end after the post under way.

        Raises:
            BrokerError: Kafka does not acknowledge what was told.
        """
        verdicts, told, places = _read(rows)
        open_changes = list(changes(self.settings.notify, verdicts, told))
        ids = {change.id(self.settings.namespace) for change in open_changes}
        self.tries = {one: tries for one, tries in self.tries.items() if one in ids}
        away = set[str]()
        for change in sorted(open_changes, key=self._failures):
            if stop.is_set():
                return
            if change.receiver.name not in away and not self._try(change, places[change.verdict.trial]):
                away.add(change.receiver.name)

    def _failures(self, change: Change) -> int:
        return self.tries.get(change.id(self.settings.namespace), Tries()).failures

    def _try(self, change: Change, partition: int) -> bool:
        """Post it, if it is due; whether its receiver may be asked more."""
        message_id = change.id(self.settings.namespace)
        tries = self.tries.setdefault(message_id, Tries())
        if tries.due is None or monotonic() < tries.due:
            return True
        if change.wanted:
            answer = self._post(change, message_id)
            if not isinstance(answer, Taken):
                self._put_off(change, tries, answer)
                return isinstance(answer, Refused)
            logger.info("told %s: %s %s", change.receiver.name, change.verdict.trial, change.verdict.verdict)
        key = told_key(change.verdict.trial, change.receiver.name)
        tries.due = None
        self.publisher.write(VERDICTS, key, encode(change.told(now_ms())), Deadline.after(WRITE_S), partition)
        return True

    def _post(self, change: Change, message_id: str) -> Answer:
        return send(change, message_id, now_ms() // 1000)

    def _put_off(self, change: Change, tries: Tries, answer: Later | Refused) -> None:
        tries.failures += 1
        if isinstance(answer, Refused):
            tries.due = None
            logger.error(
                "%s is not told: %s. It is tried again at the next start.", change.receiver.name, answer.reason
            )
            return
        pause = max(BACKOFF.pause(tries.failures), answer.wait_s)
        tries.due = monotonic() + pause
        logger.warning("%s is not told yet: %s. It is tried again in %g s.", change.receiver.name, answer.reason, pause)


def run_notify(settings: Settings, stop: threading.Event, worker_id: str = "") -> None:
    """Tell people until `stop` is set.

    Args:
        settings: How to reach Kafka, and who is told.
        stop: Set it to end.
        worker_id: A stable name: a restart under it takes over at once.

    Raises:
        BrokerError: A topic or a right is missing, or starting again leads to nothing; a person has to act.
    """
    restarts = Restarts("notify", settings.worker.restarts_without_progress, lambda: answers(settings))
    while not stop.is_set():
        began = monotonic()
        try:
            with Publisher(settings) as publisher, GroupTable(settings, VERDICTS, "notify", worker_id) as table:
                _serve(table, Teller(settings, publisher), stop)
        except Retry as error:
            stop.wait(restarts.pause_s(error, progressed=monotonic() - began > STEADY_SECONDS))


def send(change: Change, message_id: str, now_s: int) -> Answer:
    """Post one change to its receiver, once."""
    receiver = change.receiver
    body = TEMPLATES[receiver.format](change, message_id)
    headers = {"Idempotency-Key": message_id, **signed(receiver.secret, now_s, body)}
    return post(receiver.url, body, headers, receiver.timeout_seconds)


def _serve(table: GroupTable, teller: Teller, stop: threading.Event) -> None:
    while not stop.is_set():
        table.poll(POLL_S)
        if table.ready:
            teller.tell(table.rows, stop)


def _read(
    rows: Mapping[bytes, tuple[int, bytes]],
) -> tuple[list[Verdict], dict[bytes, Told], dict[str, int]]:
    verdicts, told, places = list[Verdict](), dict[bytes, Told](), dict[str, int]()
    for key, (partition, value) in rows.items():
        try:
            if b"|" not in key:
                verdict = read_verdict(value, key)
                if not verdict.fault:  # nothing was decided: what they know still is the last that was
                    verdicts.append(verdict)
                    places[verdict.trial] = partition
            elif b"|told|" in key:
                told[key] = read_told(value, key)
        except Malformed as error:
            logger.debug("a record of the verdicts topic cannot be used: %s", error)
    return verdicts, told, places
