"""Where gevent or eventlet have replaced threads, capture holds up nobody: not while serving, nor while it closes.

Each with a Kafka that is away, as then there is nothing that would end a wait early. What the table of servers in
docs/capture.md rests on is in tests/kafka/test_servers.py.
"""

import pytest

from fresh_process import run

PATCHED = {
    "gevent": "from gevent import monkey; monkey.patch_all()\nimport gevent as green\n",
    "eventlet": "import eventlet as green; green.monkey_patch()\n",
}
TICKING = """
gaps = []

def tick():
    last = time.monotonic()
    while True:
        time.sleep(0.01)
        now = time.monotonic()
        gaps.append(now - last)
        last = now

def typical():
    found = sorted(gaps)
    gaps.clear()
    return found[len(found) * 3 // 4] if len(found) > 10 else 1.0

green.spawn(tick)
"""
HELD_UP_SECONDS = 0.1  # a tick is 10 ms; one that waits for librdkafka is 200 ms


def green_run(kind: str, script: str) -> list[dict[str, float]]:
    return run(script, before=PATCHED[kind], flags=("-W", "ignore"))[0]


@pytest.mark.parametrize("kind", PATCHED)
def test_nobody_waits_while_it_listens_or_closes(kind: str) -> None:
    (found,) = green_run(
        kind,
        TICKING
        + """
ends = time.monotonic() + 1.5
while time.monotonic() < ends:
    ask(tap, 1)
    time.sleep(0.02)
serving = typical()
began = time.monotonic()
counters = tap.close(1.0)
tell(serving=serving, closing=typical(), took=time.monotonic() - began, waiting=counters.waiting,
     unsent=counters.dropped["unsent"], captured=counters.captured, heard=counters.broker_errors)
""",
    )
    assert found["serving"] < HELD_UP_SECONDS
    assert found["closing"] < HELD_UP_SECONDS
    assert found["took"] >= 1.0
    assert (found["waiting"], found["unsent"]) == (0, found["captured"])
    assert found["heard"] > 0


@pytest.mark.parametrize("kind", PATCHED)
def test_a_tap_that_is_older_than_the_patch_holds_up_nobody_either(kind: str) -> None:
    (found,), _ = run(
        PATCHED[kind]
        + TICKING
        + """
ends = time.monotonic() + 1.5
while time.monotonic() < ends:
    ask(tap, 1)
    time.sleep(0.02)
serving = typical()
counters = tap.close(0.5)
tell(serving=serving, closing=typical(), unsent=counters.dropped["unsent"], captured=counters.captured)
""",
        flags=("-W", "ignore"),
    )
    assert max(found["serving"], found["closing"]) < HELD_UP_SECONDS
    assert found["unsent"] == found["captured"] > 20


@pytest.mark.parametrize("kind", PATCHED)
def test_a_fork_leaves_the_parents_producer_to_the_parent(kind: str) -> None:
    """A green listener is copied by a fork, which a thread is not."""
    found = green_run(
        kind,
        """
ask(tap, 3)
theirs = tap._outbox._courier
child = os.fork()
if child == 0:
    time.sleep(0.2)
    ask(tap, 2)
    tell(listening=theirs._listening, captured=tap.counters().captured, unsent=tap.close(0.2).dropped["unsent"])
    os._exit(0)
ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
ask(tap, 1)
tell(listening=theirs._listening, captured=tap.counters().captured, ended=ended)
""",
    )
    child, parent = found
    assert child == {"listening": False, "captured": 4, "unsent": 4}
    assert parent == {"listening": True, "captured": 8, "ended": 0}


def test_a_listener_that_the_service_ends_with_all_its_greenlets_comes_back() -> None:
    (found,) = green_run(
        "gevent",
        """
import gc
soon = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 500}
small = Tap("churn", soon, model="champion@3", max_buffer_bytes=65536)
time.sleep(0.1)
green.killall([one for one in gc.get_objects() if isinstance(one, green.Greenlet)])
listening = small._outbox._courier._listening
ask(small, 200)
full = small.counters().dropped["buffer_full"]
ends = time.monotonic() + 20
while small.counters().waiting and time.monotonic() < ends:
    time.sleep(0.05)
counters = small.counters()
tell(listening=listening, full=full, waiting=counters.waiting, failed=counters.dropped["delivery_failed"])
small.close(0)
""",
    )
    assert found["listening"] == 0
    assert found["full"] > 0
    assert (found["waiting"], found["full"] + found["failed"]) == (0, 400)


def test_a_buffer_that_fails_as_a_whole_is_counted_to_the_last_record_and_holds_up_nobody() -> None:
    (found,) = green_run(
        "gevent",
        TICKING
        + """
soon = {"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 500}
lost = Tap("churn", soon, model="champion@3")
ask(lost, 20_000)
gaps.clear()
ends = time.monotonic() + 60
while lost.counters().waiting and time.monotonic() < ends:
    time.sleep(0.01)
counters = lost.counters()
tell(held_up=typical(), captured=counters.captured, failed=counters.dropped["delivery_failed"])
lost.close(0)
""",
    )
    assert found["held_up"] < HELD_UP_SECONDS
    assert found["failed"] == found["captured"] == 40_000
