"""How far it has come with acting on a verdict, and what comes next. Pure.

In: the verdict that stands, and the record of what was done about it. Out: the next record, or a sentence that says why
there is none. A promotion goes `requested`, `approved` (both only where a person has to approve), `begun`, then `done`
or `failed`; `begun` is written before anything is done, so a crash in between is seen afterwards.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from shadowbus.errors import ShadowbusError
from shadowbus.records import Promotion, Verdict
from shadowbus.verdict.obstacles import told

WANTED = {"promote": "PROMOTE", "send_back": "SEND_BACK"}
"""Which verdict each action needs."""

MOST_HISTORY = 50
KEY_SUFFIX = "|promotion"


class NotAllowed(ShadowbusError):
    """It may not be done now; the sentence says why, and what has to happen first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The verdict that stands, and what was done about it so far."""

    namespace: str
    verdict: Verdict
    record: Promotion | None = None

    def stands(self, action: str) -> tuple[str, int]:
        """The verdict that an action is about, and since when: SEND BACK by the gate of before can be acted on too."""
        former = self.verdict.gate.get("before")
        if action == "send_back" and self.verdict.verdict != WANTED[action] and isinstance(former, Mapping):
            found, since_ms = former.get("verdict"), former.get("since_ms")
            if found == WANTED[action] and isinstance(since_ms, int):
                return WANTED[action], since_ms
        return self.verdict.verdict, self.verdict.since_ms

    def binding(self, action: str) -> str:
        """What a request or an approval is for: this verdict of this trial, as long as it stands without a break."""
        found, since_ms = self.stands(action)
        return _digest(self.namespace, self.verdict.trial, found, str(since_ms))

    def of(self, action: str) -> Promotion | None:
        """The record, where it is about this action and this very verdict."""
        one = self.record
        return one if one and (one.action, one.binding) == (action, self.binding(action)) else None


def check_verdict(standing: Standing, action: str) -> None:
    """Is the verdict what the action needs?

    Raises:
        NotAllowed: It is not, or it is on the control.
    """
    if standing.verdict.fault:
        raise NotAllowed(f"{standing.verdict.trial} could not be decided: {standing.verdict.fault}")
    if standing.verdict.control:
        raise NotAllowed(f"{standing.verdict.trial} is the control, the live model itself: nothing is done about it.")
    wanted, found = (word.replace("_", " ") for word in (WANTED[action], standing.stands(action)[0]))
    if wanted != found:
        verb = "promoted" if action == "promote" else "sent back"
        why = "".join(f" {one}" for one in told(standing.verdict.obstacles))
        raise NotAllowed(f"The verdict on {standing.verdict.trial} is {found}, and only a {wanted} may be {verb}.{why}")


def finished(standing: Standing, action: str) -> Promotion | None:
    """The record that it was done already, if it was."""
    one = standing.of(action)
    return one if one and one.step == "done" else None


def unfinished(standing: Standing, action: str) -> Promotion | None:
    """The record of an earlier run that began and did not say how it ended, if there is one."""
    one = standing.of(action)
    return one if one and one.step == "begun" else None


def requested(standing: Standing, by: str, now_ms: int) -> Promotion:
    """Somebody asks for the approval of a promotion.

    Raises:
        NotAllowed: The verdict is not PROMOTE, or it was asked before, or approved, or done.
    """
    check_verdict(standing, "promote")
    if one := standing.of("promote"):
        raise NotAllowed(f"This was {one.step} by {one.by} already, so there is nothing to request.")
    return _next(standing, "promote", "requested", by, now_ms)


def approved(standing: Standing, by: str, now_ms: int) -> Promotion:
    """Somebody else approves it.

    Raises:
        NotAllowed: The verdict is not PROMOTE, nobody asked for it, or it was the same person who asked.
    """
    check_verdict(standing, "promote")
    one = standing.of("promote")
    if one is None:
        raise NotAllowed(
            f"Nobody has requested to promote {standing.verdict.trial} since it became PROMOTE: "
            "`shadowbus promote --request` does."
        )
    if one.step != "requested":
        raise NotAllowed(f"This was {one.step} by {one.by} already, so there is nothing to approve.")
    if one.by == by:
        raise NotAllowed(f"{by} has requested it, so somebody else has to approve it.")
    return replace(_next(standing, "promote", "approved", by, now_ms), approved_by=by)


def begun(standing: Standing, action: str, by: str, now_ms: int, *, approval: bool, means: str) -> Promotion:
    """What is written down before anything is done.

    Raises:
        NotAllowed: The verdict is another one, or an approval is needed and was not given.
    """
    check_verdict(standing, action)
    one = standing.of(action)
    if approval and action == "promote" and not (one and one.approved_by):
        if one and one.step == "requested":
            raise NotAllowed(f"{one.by} has requested it; `shadowbus approve` by somebody else comes next.")
        raise NotAllowed("This needs an approval: `shadowbus promote --request`, then `shadowbus approve`.")
    return replace(_next(standing, action, "begun", by, now_ms), means=means)


def ended(record: Promotion, step: str, told: str, detail: Mapping[str, object], now_ms: int) -> Promotion:
    """What is written down afterwards: `done` or `failed`, and in words what was found and done."""
    history = [*record.history, {"action": record.action, "step": step, "by": record.by, "at_ms": now_ms}]
    changed = replace(record, step=step, told=told, detail={**record.detail, **detail}, at_ms=now_ms)
    return replace(changed, history=history[-MOST_HISTORY:])


def record_key(trial: str) -> bytes:
    """The key of a trial's record in the verdicts topic."""
    return f"{trial}{KEY_SUFFIX}".encode()


def _next(standing: Standing, action: str, step: str, by: str, now_ms: int) -> Promotion:
    before, last = standing.of(action), standing.record
    history = [*(last.history if last else ()), {"action": action, "step": step, "by": by, "at_ms": now_ms}]
    return Promotion(
        trial=standing.verdict.trial,
        action=action,
        step=step,
        by=by,
        at_ms=now_ms,
        binding=standing.binding(action),
        key=_digest("key", action, standing.binding(action)),
        approved_by=before.approved_by if before else "",
        detail=dict(before.detail) if before else {},
        history=history[-MOST_HISTORY:],
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
