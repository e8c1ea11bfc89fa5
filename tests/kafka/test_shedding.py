"""Half of the requests replayed on a real broker: every one of them is compared or sampled out, and none is both."""

import time
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from traffic import Reader, Stream

pytestmark = pytest.mark.kafka

COUNT = 3_000


def test_half_of_the_ids_are_compared_by_both_shadows_and_the_others_are_accounted_for(
    bootstrap: str, namespace: str, tmp_path: Path
) -> None:
    extra = "[replay]\nkeep_share = 0.5\n[worker]\nvitals_seconds = 0.5\n"
    stream = Stream(bootstrap, namespace, tmp_path, ("challenger", "other"), extra)
    ids = [f"request-{number:06d}" for number in range(COUNT)]
    stream.send_pairs(ids[:2_000])
    vitals = Reader(bootstrap, stream.topic("vitals"))
    comparisons = Reader(bootstrap, stream.topic("comparisons"))
    try:
        with stream.worker("replay", "--shadow", "challenger"), stream.worker("replay", "--shadow", "other"):
            books_of_all(vitals, "challenger", 2_000)
        stream.send_pairs(ids[2_000:])  # to be read by the next ones, which know the books of the first
        with stream.worker("replay", "--shadow", "challenger"), stream.worker("replay", "--shadow", "other"):
            pages = {name: books_of_all(vitals, name, COUNT) for name in ("challenger", "other")}
        while comparisons.read(1.0):
            pass
    finally:
        vitals.close()
        comparisons.close()
    kept = {key for key in ids if blake2b(key.encode(), digest_size=8, person=b"shedding").digest()[0] < 128}
    for shadow, page in pages.items():
        mine = [one for one in comparisons.values if one["trial"].endswith(f"~{shadow}@2")]
        assert Counter(one["request_id"] for one in mine) == Counter(kept)
        assert {(one["status"], one["weight"]) for one in mine} == {("compared", 2.0)}
        for side in ("requests", "predictions"):
            assert page[side] + len(mine) == COUNT


def books_of_all(vitals: Reader, shadow: str, wanted: int) -> dict[str, int]:
    """Wait until replay's books say that all requests and predictions were read; what they say was sampled out."""
    deadline = time.monotonic() + 90
    while True:
        newest: dict[int, Any] = {one["partition"]: one for one in vitals.values if one["shadow"] == shadow}
        books = [one["books"] for one in newest.values()]
        read = {side: sum(one[side]["read"] for one in books) for side in ("requests", "predictions")}
        if set(read.values()) == {wanted}:
            assert {one["share"] for one in newest.values()} == {0.5}
            return {side: sum(one[side]["sampled_out"] for one in books) for side in read}
        assert time.monotonic() < deadline, read
        vitals.read()
