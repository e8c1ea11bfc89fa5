"""Posts to an address of yours: signed, tried again with a pause that doubles, under one key."""

import threading
from dataclasses import dataclass

import orjson

from shadowbus.clock import Deadline, now_ms
from shadowbus.processes.supervised import Backoff
from shadowbus.promotion.order import Done, NotDone, Order
from shadowbus.settings.webhook import shown_address
from shadowbus.webhook.post import Refused, Taken, post
from shadowbus.webhook.signature import signed

POST_S = 30.0
BACKOFF = Backoff(first=0.5, most=15.0)


@dataclass(frozen=True, slots=True)
class Webhook:
    """`[promotion] webhook`: a receiver that keeps the `Idempotency-Key`s it has seen acts once.

    Args:
        url: Where to post.
        secret: What the signature is made with.
        timeout_s: How long all tries together may take.
        backoff: How long to wait between them.
    """

    url: str
    secret: str
    timeout_s: float
    backoff: Backoff = BACKOFF

    def plan(self, order: Order) -> Done:
        """Say where it would be posted."""
        return Done(f"Posts to {shown_address(self.url)}, signed, under the key {order.key}.")

    def act(self, order: Order) -> Done:
        """Post until it is taken.

        Raises:
            NotDone: It was refused, or not taken in time.
        """
        body, deadline, pause = content(order), Deadline.after(self.timeout_s), threading.Event()
        tries = 0
        while True:
            tries += 1
            headers = {"Idempotency-Key": order.key, **signed(self.secret, now_ms() // 1000, body)}
            answer = post(self.url, body, headers, max(0.1, min(POST_S, deadline.remaining())))
            if isinstance(answer, Taken):
                where = shown_address(self.url)
                return Done(f"{where} took it ({answer.status}).", {"status": answer.status, "tries": tries})
            wait = 0.0 if isinstance(answer, Refused) else max(self.backoff.pause(tries), answer.wait_s)
            if isinstance(answer, Refused) or wait >= deadline.remaining():
                raise NotDone(f"{answer.reason}; given up after {tries} {'try' if tries == 1 else 'tries'}.")
            pause.wait(wait)


def content(order: Order) -> bytes:
    """What is posted."""
    head = {"v": 1, "event": order.action, "id": order.key, "trial": order.trial}
    models = {"champion": order.champion, "model": order.model}
    why = {"by": order.by, "reason": order.reason, "report": str(order.report or "")}
    return orjson.dumps({**head, **models, **why, "verdict": order.verdict})
