"""More rows are asked alone while PROMOTE waits for them, fewer when they have shown what they can; at bounded cost."""

from dataclasses import replace

import pytest

from shadowbus.records import Verdict, encode
from shadowbus.replay.model.messages import pack_question, unpack_question
from shadowbus.replay.single_row_share import FEWER, MORE, MOST, SingleRowShare
from shadowbus.settings import ShadowSettings

NEW = ShadowSettings("new", "models/new/1")
TWIN = replace(NEW, name="twin", control=True)


def verdict(shadow: str = "new", decided_ms: int = 5, /, **states: str) -> bytes:
    criteria: list[object] = [
        {"name": name.replace("__", ":"), "state": state, "value": 0.0, "low": 0.0, "high": 1.0, "limit": 0.5}
        for name, state in states.items()
    ]
    found = Verdict(f"live@1~{shadow}@1", "KEEP_WATCHING", criteria, 10, 0, {}, decided_ms)
    return encode(found)


@pytest.mark.parametrize(
    ("states", "factor"),
    [
        ({"requests": "holds", "error_rate": "holds", "over_budget": "open"}, MORE),
        ({"over_budget": "holds", "slower_than_control": "open"}, MORE),
        ({"over_budget": "open", "accuracy": "holds", "accuracy__country=DE": "open"}, MORE),
        ({"days": "open", "over_budget": "open"}, 1.0),
        ({"accuracy": "open", "over_budget": "open"}, 1.0),
        ({"accuracy": "open", "over_budget": "holds"}, FEWER),
        ({"accuracy": "open"}, 1.0),
        ({}, 1.0),
    ],
)
def test_the_share_follows_what_promote_waits_for(states: dict[str, str], factor: float) -> None:
    attention = SingleRowShare(NEW, 0.05)
    assert attention.share == 0.05
    assert attention.take(verdict(**states))
    assert attention.share == pytest.approx(0.05 * factor)
    assert not attention.take(verdict("other", 9, over_budget="open"))
    assert not attention.take(verdict("new", 4, over_budget="open"))  # an older one says nothing any more
    assert not attention.take(b"no verdict")
    assert attention.share == pytest.approx(0.05 * factor)


def test_it_never_takes_more_than_half_of_the_idle_time_unless_the_settings_do() -> None:
    for share, most in ((0.3, MOST), (0.8, 0.8), (0.0, 0.0)):
        attention = SingleRowShare(NEW, share)
        attention.take(verdict(over_budget="open"))
        assert attention.share == most


def test_a_control_is_timed_as_much_as_what_is_held_against_it() -> None:
    attention = SingleRowShare(TWIN, 0.05)
    assert not attention.take(verdict(over_budget="open"))
    assert attention.take(verdict(slower_than_control="open"))
    assert attention.share == pytest.approx(0.2)


def test_each_question_says_what_the_share_is() -> None:
    assert unpack_question(pack_question([b"a"], [b"{}"], 0.05)) == ([b"a"], [b"{}"], 0.05)
    assert unpack_question(pack_question([b"a"], [b"{}"])) == ([b"a"], [b"{}"], None)
