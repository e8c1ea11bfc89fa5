"""A background call leaves nothing behind, even when it fails: the clients in its frames have threads of their own."""

import contextlib
import gc
import weakref

from shadowbus.clock import Deadline
from shadowbus.kafka.error_classes import again
from shadowbus.kafka.worker.background import Background
from shadowbus.kafka.worker.gc_tuning import let_go_of_clients


class Client:
    def fail(self, seconds: float) -> None:
        raise TimeoutError(seconds)


def test_a_failed_call_holds_none_of_its_clients() -> None:
    clients: list[weakref.ref[Client]] = []

    def call() -> None:
        client = Client()
        clients.append(weakref.ref(client))
        client.fail(1.0)

    gc.disable()
    try:
        background = Background(call)
        with contextlib.suppress(TimeoutError):
            background.wait()
        assert clients[0]() is None
    finally:
        gc.enable()


def test_what_a_retry_that_failed_still_holds_is_let_go_of() -> None:
    client = Client()
    held = weakref.ref(client)
    with contextlib.suppress(TimeoutError):
        again(client.fail, Deadline.after(0.1))
    del client
    let_go_of_clients()
    assert held() is None
