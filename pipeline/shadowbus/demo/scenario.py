"""What the demo stages: the champion, its four shadows, the settings they run under, and how each trial has to end."""

import json
from dataclasses import dataclass
from pathlib import Path

from shadowbus.demo.models import VERSION, TrainedModels
from shadowbus.trials import TrialName

NAMESPACE = "digits"
CHAMPION = f"champion@{VERSION}"


@dataclass(frozen=True, slots=True)
class Part:
    """A shadow's part in the demo.

    Attributes:
        shadow: Its name in the settings.
        bundle: The model it runs.
        is_what: What it is, in a few words.
        verdict: How its trial ends, if there is traffic enough.
        why: Why, in one sentence.
        allow_pickle: Whether its bundle is a pickle.
    """

    shadow: str
    bundle: str
    is_what: str
    verdict: str
    why: str
    allow_pickle: bool = False

    @property
    def trial(self) -> str:
        """The name of its trial."""
        return str(TrialName(CHAMPION, f"{self.shadow}@{VERSION}"))


CAST = (
    Part(
        "better",
        "better",
        "trained on twice as many digits",
        "PROMOTE",
        "It is right where the champion is wrong far more often than the reverse, fails never, and is quick enough.",
    ),
    Part(
        "worse",
        "worse",
        "a simpler kind of model",
        "SEND_BACK",
        "It is shown to be less accurate than the champion by more than the margin.",
    ),
    Part(
        "crasher",
        "crasher",
        "hangs or dies on 1 row of 100",
        "SEND_BACK",
        "It fails more often than allowed; each failing row is found, the others are answered, production never knows.",
        allow_pickle=True,
    ),
    Part(
        "control",
        "champion",
        "the champion itself",
        "KEEP_WATCHING",
        "The control is never promoted: what it does not agree on with itself is noise, the floor for all others.",
    ),
)
CONTROL = "control"
VERDICTS = {"PROMOTE": "PROMOTE", "SEND_BACK": "SEND BACK", "KEEP_WATCHING": "KEEP WATCHING"}

_HEAD = """\
# Made by `shadowbus demo`. One namespace, four shadows, one gate.
namespace = "{namespace}"
partitions = 2

[kafka]
"bootstrap.servers" = "{bootstrap}"

[kafka.consumer]
"fetch.wait.max.ms" = 250     # a little later, and a calmer broker

[gate]
alpha = 0.05
min_requests = 300
max_error_rate = 0.003        # at most 3 failures in 1,000
latency_budget_ms = 100.0     # generous, because everything shares one machine
max_over_budget = 0.05        # at most 5 % slower than the budget
accuracy_margin = 0.02        # at most 2 points less accurate than the champion

# What follows makes a demo of minutes out of settings for days.
[aggregate]
window_seconds = 5

[worker]
vitals_seconds = 1.0
commit_ms = 500               # fewer transactions: two cores carry everything here, the broker too

[replay]
single_row_share = 0.2        # of so little traffic, time more rows on their own
"""

_SHADOW = """
[[shadow]]
name = "{name}"               # {is_what}
model = {model}
timeout_ms = {timeout_ms}
allow_pickle = {allow_pickle}
control = {control}
"""
TIMEOUT_MS = 400


def write_settings(path: Path, bootstrap: str, models: TrainedModels) -> None:
    """Write the settings file of the demo."""
    text = _HEAD.format(namespace=NAMESPACE, bootstrap=bootstrap)
    for part in CAST:
        text += _SHADOW.format(
            name=part.shadow,
            is_what=part.is_what,
            model=json.dumps(str(models.bundles[part.bundle].folder)),
            timeout_ms=TIMEOUT_MS,
            allow_pickle=str(part.allow_pickle).lower(),
            control=str(part.shadow == CONTROL).lower(),
        )
    path.write_text(text, encoding="utf-8")
