"""Kafka itself misses each right of each stage: none is documented in vain, and none is passed over."""

import os
from collections.abc import Iterator

import pytest

from forked import forked
from guarded import Guarded, guarded_kafka
from house import ROOMY_S, STAGES, House, eventually, lived_in, provoke, without

FULL = pytest.mark.skipif(
    "SHADOWBUS_CHAOS_SEED" not in os.environ, reason="make chaos: the suite has its own of rights"
)
pytestmark = [pytest.mark.kafka, pytest.mark.chaos, pytest.mark.timeout(600), FULL]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with guarded_kafka() as kafka:
        yield kafka


@pytest.fixture(scope="module")
def house(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with lived_in(guarded, tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.mark.parametrize("stage", STAGES)
def test_kafka_itself_misses_each_right_of_a_stage(house: House, stage: str) -> None:
    """Without the look at the start: a right that makes no difference here is asked for in vain."""
    rights = house.needed(stage)
    for number, right in enumerate(rights):
        provoke(house, stage, f"{stage}-{number}")
        config = house.config(house.guarded.user(*without(right, rights)))
        with forked(config, STAGES[stage], stage, unchecked=True) as one:
            if stage == "agents":  # Faust says it again and again; the look at the start, made every 5 s, ends it
                eventually(lambda: "uthoriz" in one.said() or "Kafka does not let" in one.said(), one.said)
                continue
            if (stage, right.name) == ("replay", "churn.verdicts"):  # which rows are timed is no reason to end
                eventually(lambda: "what verdicts wait for cannot be followed" in one.said(), one.said)
                continue
            assert one.ended(ROOMY_S) == 1, right
            assert f"Kafka does not let this user {right}: " in one.said()
            assert "Traceback" not in one.said()
