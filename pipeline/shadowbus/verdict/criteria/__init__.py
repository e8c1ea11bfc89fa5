"""What can be asked of a shadow, in the order in which a verdict lists it.

Each file has one kind of criterion. A function takes the evidence, the limit and the part of alpha it may use, and
gives the question with its answer so far. A new criterion is a function, its line in `CRITERIA` with the settings that
turn it on, and its line in docs/verdict.md.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from shadowbus.settings import GateSettings
from shadowbus.verdict.counts import Evidence
from shadowbus.verdict.criteria import accuracy, calibration, means, rates, slowdown
from shadowbus.verdict.criterion import Alphas, Question


class Rule(NamedTuple):
    """A criterion: the settings that have to be there for it to be on, the limit first, and what asks it.

    One that is `against_control` is not asked of the control itself.
    """

    settings: tuple[str, ...]
    ask: Callable[[Evidence, float, Alphas], Question]
    against_control: bool = False

    def on(self, gate: GateSettings) -> bool:
        """Whether the gate asks it."""
        return all(getattr(gate, name) is not None for name in self.settings)

    def limit(self, gate: GateSettings) -> float:
        """What it is held against, where it is on."""
        return float(getattr(gate, self.settings[0]))


CRITERIA = (
    Rule(("max_error_rate",), rates.errors),
    Rule(("max_over_budget", "latency_budget_ms"), rates.latency),
    Rule(("max_slowdown",), slowdown.slower, against_control=True),
    Rule(("min_agreement",), rates.agreement),
    Rule(("accuracy_margin",), accuracy.not_worse),
    Rule(("min_accuracy_gain",), accuracy.better),
    Rule(("max_loss_increase",), means.loss),
    Rule(("min_value_gain",), means.value),
    Rule(("max_calibration_error",), calibration.calibrated),
)
"""Those that PROMOTE needs shown, each."""


def alphas_of(gate: GateSettings) -> Alphas:
    """The alpha of each criterion that is on, a matter of the settings, never of the data.

    PROMOTE needs all of them shown, so also the one that is truly broken: nothing to split. One that fails is enough
    for SEND BACK, so there alpha is split evenly; the guard of all segments counts as one.
    """
    on = sum(rule.on(gate) for rule in CRITERIA)
    return Alphas(gate.alpha, gate.alpha / max(1, on + accuracy.guarded(gate)))


def asked(evidence: Evidence, gate: GateSettings) -> list[Question]:
    """The questions that PROMOTE needs answered."""
    alphas = alphas_of(gate)
    on = [rule for rule in CRITERIA if rule.on(gate) and not (evidence.control and rule.against_control)]
    return [_noted(rule.ask(evidence, rule.limit(gate), alphas), evidence) for rule in on]


def guarding(evidence: Evidence, gate: GateSettings) -> list[Question]:
    """The questions that need no yes: one that is answered with no leads to SEND BACK, one that waits holds PROMOTE."""
    return list(accuracy.guards(evidence, gate, alphas_of(gate)))


def _noted(question: Question, evidence: Evidence) -> Question:
    """Says so where all that it could rest on is from before the model's training ended."""
    counts, criterion = evidence.counts, question.criterion
    if question.unit == "labels":
        none, what = counts.labels_before and not counts.labels, "labels"
    else:
        none, what = criterion.name == "agreement" and counts.requests_before and not counts.compared, "requests"
    if not none:
        return question
    note = f"There are no {what} from after its training. {criterion.note}".strip()
    return replace(question, criterion=replace(criterion, note=note))
