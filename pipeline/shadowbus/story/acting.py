"""What was done about a verdict, and what comes next. Pure."""

from shadowbus.records import Promotion, Verdict
from shadowbus.trials import TrialName, shadow_of

DID = {"promote": "promoted", "send_back": "sent back"}
FAR = {"requested": "asked for", "approved": "approved", "begun": "begun", "failed": "tried in vain"}
WANTED = {"PROMOTE": "promote", "SEND_BACK": "send_back"}


def stands(act: Promotion | None, verdict: Verdict) -> bool:
    """Whether it was done about the verdict as it stands, and not about an earlier one of the same trial."""
    return act is not None and WANTED.get(verdict.verdict) == act.action and act.at_ms >= verdict.since_ms


def is_done(act: Promotion | None, verdict: Verdict) -> bool:
    """Whether that is all that there is to do about it."""
    return act is not None and act.step == "done" and stands(act, verdict)


def told(act: Promotion | None, moment: str = "") -> str:
    """What was done, by whom, and when; empty where nothing was.

    Args:
        act: The record of it.
        moment: When that was, as it shall be written.

    >>> told(Promotion("a~b@1", "promote", "done", "ada", 5, "", "", told="The alias points at 1."), "at noon")
    'It was promoted by ada, at noon. The alias points at 1.'
    """
    if act is None:
        return ""
    did = DID.get(act.action, act.action)
    what = f"It was {did}" if act.step == "done" else f"That it is {did} was {FAR.get(act.step, act.step)}"
    return " ".join(part for part in (f"{what} by {act.by}{moment and f', {moment}'}.", act.told) if part)


def next_step(verdict: Verdict, act: Promotion | None, *, can_act: bool = True) -> str:
    """What a person does next, as a command where it is one; empty where there is nothing to do.

    Args:
        verdict: The latest one of a trial.
        act: What was done about it.
        can_act: Whether `[promotion]` names a way to act, so that `promote` and `send-back` can do it.

    >>> next_step(Verdict("a@1~b@2", "SEND_BACK", [], 0, 0, {}, 0), None)
    'Next: `shadowbus send-back --shadow b` marks it as rejected.'
    """
    shadow = shadow_of(verdict.trial)
    if verdict.fault or verdict.control:
        return ""
    if not can_act and verdict.verdict in WANTED and not is_done(act, verdict):
        act_on = "serve the shadow's model" if verdict.verdict == "PROMOTE" else "retire the shadow's model"
        return f"Next: {act_on} yourself, or set up [promotion] (docs/promotion.md) so that shadowbus can."
    match verdict.verdict:
        case "PROMOTE" if is_done(act, verdict):
            live = TrialName.parse(verdict.trial).model
            return (
                f'Next: serve it, with model = "{live}" in the service\'s tap; give the next candidate to the shadow, '
                "and the new live model to the control."
            )
        case "PROMOTE":
            return f"Next: `shadowbus promote --shadow {shadow}`; with --dry-run it says what it would do."
        case "SEND_BACK" if not is_done(act, verdict):
            return f"Next: `shadowbus send-back --shadow {shadow}` marks it as rejected."
        case "SEND_BACK":
            return "Next: a better version, under a number of its own."
        case _:
            return ""
