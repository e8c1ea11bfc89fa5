"""Waiting for what has to come, with a deadline, and with what the workers said when it does not."""

import time
from collections.abc import Callable

from shadowbus.kafka.clients import make_admin
from traffic import Stream


def until(condition: Callable[[], bool], stream: Stream, seconds: float = 90) -> None:
    """Wait for a condition; asking for it is what takes the time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, stream.logs()[-3000:]


def eventually(condition: Callable[[], bool], seconds: float = 90) -> None:
    """The same where no worker can be asked what went wrong."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass in {seconds} s"
        time.sleep(0.05)


def members(stream: Stream, stage: str = "challenger.replay") -> tuple[str, int]:
    """The state of a stage's consumer group, and how many are in it."""
    client, group = make_admin(stream.settings), stream.topic(stage)
    found = client.describe_consumer_groups([group])[group].result()
    return found.state.name, len(found.members)
