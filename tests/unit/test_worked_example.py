"""The worked example on real flights: peeking at a p-value promotes a worse model, the gate does not."""

import numpy as np
import pytest
from examples.flights import MARGIN, Look, looks, requests, right
from scipy import stats


@pytest.fixture(scope="module")
def daily() -> list[Look]:
    """The first pair of the page."""
    seen = requests()
    known = right(seen, ["everything", "no weather"])
    days = seen.day[seen.month > 1].to_numpy()
    return list(looks(days, known["everything"], known["no weather"]))


def test_the_p_value_promotes_a_model_that_is_worse_and_the_gate_never_does(daily: list[Look]) -> None:
    assert daily[-1].difference < -MARGIN
    first = next(look for look in daily if look.usual)
    assert first.day <= 28
    assert {look.verdict for look in (first, *daily[::20], daily[-1])} <= {"KEEP_WATCHING", "SEND_BACK"}


def test_the_gate_was_not_asleep(daily: list[Look]) -> None:
    """The other way round the same labels are enough for PROMOTE."""
    last = daily[-1]
    assert Look(last.day, last.labels, last.live_only, last.shadow_only).verdict == "PROMOTE"


def test_the_usual_test_is_a_one_sided_t_test(daily: list[Look]) -> None:
    for look in daily[::15]:
        values = np.repeat(
            [1.0, -1.0, 0.0], [look.shadow_only, look.live_only, look.labels - look.shadow_only - look.live_only]
        )
        p = stats.ttest_1samp(values, -MARGIN, alternative="greater").pvalue
        assert look.usual == (p < 0.05)
