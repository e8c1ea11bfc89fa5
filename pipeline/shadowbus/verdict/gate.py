"""The gate: from the counts of one trial to PROMOTE, SEND BACK or KEEP WATCHING.

What comes in is evidence (cumulative counts, for the whole trial and each segment) and the settings; what goes out is a
decision with every criterion's interval. Pure: the same evidence and settings give the same decision.

Guaranteed, however often people look: if any criterion is truly on the wrong side, PROMOTE comes with probability at
most alpha (it needs all criteria shown, so also the false one: no split); if all are truly on the right side, SEND BACK
does (one is enough, so alpha is split over the criteria that are on, and the guard's share over the segments). Only
one of the two can be the mistake. Each criterion's `low` and `high` are the two one-sided ends that decide it. Where
labels were shown to come for some requests rather than for others, all this holds whatever the missing ones would be.
A control, the live model in its own shadow, never comes to PROMOTE: there is nothing to win. What a shadow fails on
before it has begun to run is told apart (`obstacles.py`) and decides nothing.
"""

from dataclasses import replace

from shadowbus.settings import GateSettings
from shadowbus.verdict.conditions import conditions
from shadowbus.verdict.counts import Counts, Evidence
from shadowbus.verdict.coverage import coverage, dependence
from shadowbus.verdict.criteria import asked, guarding
from shadowbus.verdict.criterion import Criterion, Decision, Needed, State, Verdict
from shadowbus.verdict.learned import criterion as knows
from shadowbus.verdict.learned import suspicious
from shadowbus.verdict.needed import needed
from shadowbus.verdict.obstacles import obstacles
from shadowbus.verdict.vocabulary import criterion, strangers, unanswered

__all__ = ["Counts", "Criterion", "Decision", "Evidence", "Needed", "State", "Verdict", "decide"]


def decide(evidence: Evidence, gate: GateSettings) -> Decision:
    """The verdict that the evidence supports.

    Args:
        evidence: Cumulative counts; what is shown once may become open again, as with any look that comes later.
        gate: Which criteria are on, their limits, and alpha (the chance of a wrong verdict, at most).

    Raises:
        ValueError: Counts that contradict each other, or alpha not between 0 and 1.

    >>> seen = Counts(comparisons=3_500, asked=3_500)
    >>> gate = GateSettings(max_error_rate=0.001)
    >>> decide(Evidence("a|b", seen, {}), gate).verdict
    'PROMOTE'
    >>> early = decide(Evidence("a|b", Counts(comparisons=1_500, asked=1_500), {}), gate)
    >>> early.verdict, early.needed.requests
    ('KEEP_WATCHING', 1944)
    """
    missing = dependence(evidence, gate)
    evidence = replace(evidence, labels_depend=missing is not None)
    apart = tuple(strangers(evidence.vocabularies))
    blocking, guards = unanswered(asked(evidence, gate), apart), unanswered(guarding(evidence, gate), apart)
    counted = (*conditions(evidence, gate), *([criterion(apart, evidence.vocabularies)] if apart else ()))
    if evidence.learned.counted and suspicious(evidence):
        counted = (*counted, knows(evidence.learned))
    if missing is not None:
        allowed = all(question.criterion.state == "holds" for question in blocking if question.unit == "labels")
        counted = (*counted, coverage(missing, allowed=allowed))
    criteria = (*counted, *(question.answer for question in (*blocking, *guards)))
    waited = [guard for guard in guards if guard.waits]
    found = obstacles(evidence, blocking)
    required = (*counted, *(question.criterion for question in (*blocking, *waited)))
    verdict: Verdict = "KEEP_WATCHING"
    if any(one.state == "fails" for one in criteria):
        verdict = "SEND_BACK"
    elif blocking and not evidence.control and all(one.state == "holds" for one in required):
        verdict = "PROMOTE"
    more = needed(evidence, gate, counted, blocking, guards, found) if verdict == "KEEP_WATCHING" else Needed(0, 0, "")
    return Decision(verdict, criteria, evidence.counts.comparisons, evidence.counts.labels, more, found)
