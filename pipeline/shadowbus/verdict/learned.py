"""Does the shadow know by heart what came before its bundle was made? Asked where nobody said until when it learned.

What comes in is how often both models were right before and after. What goes out is whether the shadow was shown to be
right more often before, and the live model, on the same labels, fell by less than half as much: then it is no drift.

Its accuracy before and after has a confidence sequence each (beta-binomial mixtures, as all rates have), at half of
`LEVEL`. Where both share one truth they part at some look in `LEVEL` of trials at most, however often people look.
"""

from shadowbus.cutoff import ASSUMED
from shadowbus.verdict import sequential
from shadowbus.verdict.counts import Evidence, Learned
from shadowbus.verdict.criterion import Criterion

LEVEL = 0.01
DRIFT = 0.5
"""A fall of the live model by so large a part of the shadow's is a change of the traffic, for both."""


def suspicious(evidence: Evidence) -> bool:
    """Whether it looks so.

    >>> from dataclasses import replace
    >>> from shadowbus.cutoff import Cutoff
    >>> from shadowbus.verdict.counts import Counts
    >>> evidence = Evidence("live@1~new@2", Counts(), {}, learned=Learned(1_000, 991, 800, 1_000, 780, 790))
    >>> suspicious(evidence), suspicious(replace(evidence, cutoff=Cutoff(5, "flag")))
    (True, False)
    """
    seen = evidence.learned
    if evidence.control or not (evidence.cutoff is None or evidence.cutoff.source in ASSUMED):
        return False
    if not (seen.before and seen.after):
        return False
    shown = sequential.rate_low(seen.right_before, seen.before, LEVEL / 2) > sequential.rate_high(
        seen.right_after, seen.after, LEVEL / 2
    )
    fell = seen.right_before / seen.before - seen.right_after / seen.after
    live_fell = seen.live_before / seen.before - seen.live_after / seen.after
    return shown and live_fell < DRIFT * fell


def criterion(seen: Learned) -> Criterion:
    """What holds PROMOTE back, where labels that count are among those that it may know."""
    before, after = seen.right_before / seen.before, seen.right_after / seen.after
    low = sequential.rate_low(seen.right_before, seen.before, LEVEL / 2)
    high = sequential.rate_high(seen.right_after, seen.after, LEVEL / 2)
    note = (
        f"It was right in {before:.1%} of what came before it was bundled and {after:.1%} after: it may have been "
        "trained on these labels; give --trained-until."
    )
    return Criterion("learned", before, low, 1.0, high, "open", note, seen.before)
