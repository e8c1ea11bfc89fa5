"""What comparisons take over from their requests when the settings ask for it: computed segments, kept features."""

from shadowbus.replay.comparison import Addition
from shadowbus.replay.kept_features import KeptFeatures
from shadowbus.replay.segment_rules import SegmentRules
from shadowbus.settings import Settings


def additions_of(settings: Settings) -> list[Addition]:
    """The additions, none by default. Features come last: other additions look for the end of what stands before."""
    found: list[Addition] = []
    if settings.segment:
        found.append(SegmentRules(settings.segment))
    if settings.replay.features_share > 0:
        found.append(KeptFeatures(settings.replay.features_share))
    return found
