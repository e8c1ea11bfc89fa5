"""Wait for a final verdict: PROMOTE or SEND BACK.

In: the verdicts topic, as it grows. Out: the verdict that `find` reads, final or the latest at the deadline. The topic
is followed, not polled: the tables are read again only when a final verdict arrives that is newer than the last look.
"""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping

from shadowbus.cli.read.find_verdict import READ_SECONDS, Found, find
from shadowbus.clock import Deadline
from shadowbus.errors import BrokerError, Malformed
from shadowbus.records import Verdict, decode
from shadowbus.settings import Settings
from shadowbus.trials import shadow_of

LAST_LOOK_SECONDS = 10.0
FINAL = ("PROMOTE", "SEND_BACK")


def is_final(found: Found | None) -> bool:
    """Whether nothing is left to wait for."""
    return found is not None and not found.record.fault and found.record.verdict in FINAL


def wait_for_final(
    settings: Settings, shadow: str, trial: str | None, timeout_s: float | None, stop: threading.Event
) -> Found | None:
    """The final verdict, or what there is when time is up or `stop` is set.

    Args:
        settings: How to reach Kafka.
        shadow: On which shadow.
        trial: On which of its trials; None: the newest.
        timeout_s: How long to wait, in seconds; None: without end.
        stop: Set it to stop waiting.

    Raises:
        BrokerError: The topics cannot be read.
        ShadowbusError: The newest record is not a verdict.
    """
    from shadowbus.kafka.read.subscribe import follow
    from shadowbus.topology import VERDICTS

    found = find(settings, shadow, trial, Deadline.after(READ_SECONDS))
    looked_ms = found.record.decided_ms if found else -1
    with _stopped_after(timeout_s, stop), contextlib.ExitStack() as opened:
        if is_final(found) or stop.is_set():
            return found
        # From the beginning: a verdict that arrived after the look above must not be missed.
        values = follow(settings, VERDICTS, stop, Deadline.after(READ_SECONDS), from_beginning=True)
        opened.enter_context(contextlib.closing(values))
        for record in _final_records(values, shadow, trial):
            if record.decided_ms > looked_ms:
                looked_ms = record.decided_ms
                found = find(settings, shadow, trial, Deadline.after(READ_SECONDS))
                if is_final(found):
                    return found
    with contextlib.suppress(BrokerError):  # Kafka is away: what was read before is the latest that is known
        found = find(settings, shadow, trial, Deadline.after(LAST_LOOK_SECONDS))
    return found


def still_open(record: Verdict) -> str:
    """The criteria that are not decided yet, as text; empty when none is."""
    criteria = (one for one in record.criteria if isinstance(one, Mapping))
    return ", ".join(str(one.get("name")) for one in criteria if one.get("state") == "open")


def _final_records(values: Iterable[bytes], shadow: str, trial: str | None) -> Iterable[Verdict]:
    for value in values:
        with contextlib.suppress(Malformed):
            record = decode(Verdict, value)
            if record.verdict in FINAL and shadow_of(record.trial) == shadow and trial in (None, record.trial):
                yield record


@contextlib.contextmanager
def _stopped_after(timeout_s: float | None, stop: threading.Event) -> Iterator[None]:
    if timeout_s is None:
        yield
        return
    timer = threading.Timer(timeout_s, stop.set)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
