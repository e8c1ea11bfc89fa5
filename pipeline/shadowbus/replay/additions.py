"""What comparisons take over from their requests: computed segments, the mark of the trained on, kept features."""

from shadowbus.cutoff import Cutoff
from shadowbus.replay.comparison import Addition
from shadowbus.replay.kept_features import KeptFeatures
from shadowbus.replay.segment_rules import SegmentRules
from shadowbus.replay.trained_on import TrainedOn
from shadowbus.settings import Settings


def additions_of(settings: Settings, cutoff: Cutoff | None) -> list[Addition]:
    """The additions. Features come last: other additions look for the end of what stands before."""
    found: list[Addition] = []
    if settings.segment:
        found.append(SegmentRules(settings.segment))
    if cutoff is not None:
        found.append(TrainedOn(cutoff))
    if settings.replay.features_share > 0:
        found.append(KeptFeatures(settings.replay.features_share))
    return found
