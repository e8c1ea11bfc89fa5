"""The broker dies in the middle of everything and comes back."""

import time
from collections import Counter
from pathlib import Path

import pytest

from shadowbus.broker.cluster import EmbeddedKafka
from traffic import Reader, Stream, end

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]


def test_a_broker_that_is_killed_and_comes_back_costs_no_comparison(tmp_path: Path) -> None:
    (tmp_path / "stream").mkdir()
    with EmbeddedKafka(data_dir=tmp_path / "kafka") as kafka:
        stream = Stream(kafka.bootstrap, "chaos", tmp_path / "stream")
        wanted = [f"request-{number:06d}" for number in range(40_000)]
        stream.send_pairs(wanted[:30_000])
        comparisons = Reader(kafka.bootstrap, stream.topic("comparisons"))
        everything = stream.start("up")
        partials = Reader(kafka.bootstrap, stream.topic("partials"))
        try:
            while len(comparisons.keys) < 2_000:
                comparisons.read()
            kafka.kill_node(1)
            kafka.start_node(1)
            stream.send_pairs(wanted[30_000:])
            comparisons.until(len(wanted), 120)
            deadline = time.monotonic() + 60
            while counted(partials) < len(wanted):
                partials.read()
                assert time.monotonic() < deadline, stream.logs()[-3000:]
        finally:
            assert end(everything) == 0, stream.logs()[-3000:]
        assert comparisons.keys == Counter(key.encode() for key in wanted)
        assert counted(partials) == len(wanted)
        comparisons.close()
        partials.close()


def counted(partials: Reader) -> int:
    """How many comparisons the newest partial of each source partition counts."""
    newest = {
        value["partition"]: sum(value["totals"]["statuses"].values())
        for value in partials.values
        if value is not None and value.get("segment") == "all" and value.get("window") == "all"
    }
    return sum(newest.values())
