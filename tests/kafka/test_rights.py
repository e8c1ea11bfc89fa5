"""Every stage and every verb on exactly the rights that are documented, and without each of them.

On a real broker with an authorizer. That Kafka itself misses each right of each stage is in tests/chaos/test_rights.py.
"""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from forked import forked
from guarded import Guarded, guarded_kafka
from house import ROOMY_S, STAGES, House, at_work, complaints, eventually, lived_in, without
from shadowbus.capture import Tap
from shadowbus.errors import BrokerError
from shadowbus.kafka.permissions import check_start
from shadowbus.rights import Right

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

VERBS: dict[str, tuple[str, ...]] = {
    "topics --check": ("topics", "--check"),
    "status": ("status",),
    "tail": ("tail", "--from-beginning", "--limit", "1"),
    "verdict": ("verdict", "--shadow", "challenger"),
    "verdict --verify": ("verdict", "--shadow", "challenger", "--verify"),
    "report": ("report", "--shadow", "challenger", "--out", "{folder}/report.html"),
    "slices": ("slices", "--shadow", "challenger"),
    "slices --measure harm": ("slices", "--shadow", "challenger", "--measure", "harm"),
    "label-queue": ("label-queue", "--shadow", "challenger", "--count", "5"),
    "export --topic partials": ("export", "--topic", "partials", "--out", "{folder}/partials.jsonl"),
    "promote": ("promote", "--shadow", "challenger", "--by", "ann", "--request"),
    "approve": ("approve", "--shadow", "challenger", "--by", "bob", "--yes"),
}
TAKEN = {
    "rekey": Right("TRANSACTIONAL_ID", "churn.rekey-", "WRITE", prefixed=True),
    "replay": Right("TOPIC", "churn.comparisons", "WRITE"),
    "judge": Right("TOPIC", "churn.labels", "READ"),
    "aggregate": Right("GROUP", "churn.aggregate", "READ"),
    "decide": Right("GROUP", "churn.decide", "READ"),
    "agents": Right("TOPIC", "churn.aggregates", "WRITE"),
    "notify": Right("TOPIC", "churn.verdicts", "READ"),
}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with guarded_kafka() as kafka:
        yield kafka


@pytest.fixture(scope="module")
def house(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """All stages have come to a verdict on exactly their rights, been killed, come back, gone on, and been stopped."""
    with lived_in(guarded, tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.mark.parametrize("use", VERBS)
def test_a_verb_works_on_its_rights_and_names_each_that_is_missing(house: House, use: str) -> None:
    words = tuple(word.format(folder=house.folder) for word in VERBS[use])
    rights = house.needed(use)
    with ThreadPoolExecutor(4) as pool:
        calls = {right: pool.submit(house.call, words, without(right, rights)) for right in rights}
    for right, call in calls.items():
        code, _, said = call.result()
        assert (code, said.splitlines()[-1:]) == (1, [says(said, right)])
    code, _, said = house.call(words, rights)
    assert code == 0, said
    assert "uthoriz" not in said


def says(said: str, right: Right) -> str:
    """The line that names this right, and no other resource."""
    (line,) = (line for line in said.splitlines() if line.startswith("Kafka does not let this user "))
    assert str(right) in line
    missing = line.removeprefix("Kafka does not let this user ").partition(": ")[0].split(", ")
    # Of a topic that it may not even know of, it may do nothing else either.
    assert {one.split()[-1] for one in missing} == {str(right).split()[-1]}
    return line


def test_topics_are_created_by_whom_may_create_just_them(house: House) -> None:
    rights = house.needed("topics --create")
    other = [Right(one.kind, one.name.replace("churn.", "other."), one.operation) for one in rights]
    missing = Right("TOPIC", "other.labels", "CREATE")
    config = house.config(house.guarded.user(*without(missing, [one for one in other if "raw." not in one.name])))
    config.write_text(re.sub(r"\[rekey\](\n[a-z]+ = .*)*", "", config.read_text().replace('"churn"', '"other"')))
    with forked(config, ("topics", "--create"), "verb") as one:
        assert one.ended(ROOMY_S) == 1
        says(one.said(), missing)


def test_the_doctor_names_each_right_that_is_missing(house: House) -> None:
    rights = house.needed("doctor")
    chosen = {(right.kind, right.operation): right for right in rights}
    words = ("doctor", "--json")
    with ThreadPoolExecutor(4) as pool:
        calls = {right: pool.submit(house.call, words, without(right, rights)) for right in chosen.values()}
        whole = pool.submit(house.call, words, rights)
    for right, call in calls.items():
        findings = json.loads(call.result()[1])["findings"]
        assert [one for one in findings if str(right) in one["evidence"] or right.name[:-1] in one["evidence"]], right
    findings = json.loads(whole.result()[1])["findings"]
    assert not {one["check"] for one in findings} & {"rights", "transactions", "blind-spots"}, findings


@pytest.mark.parametrize("missing", ["aggregates", "verdicts", "comparisons", "outcomes"])
def test_the_page_names_a_right_that_is_missing(house: House, missing: str) -> None:
    right = Right("TOPIC", f"churn.{missing}", "READ")
    config = house.config(house.guarded.user(*without(right, house.needed("dashboard"))))
    with forked(config, ("dashboard", "--port", "0"), "verb") as one:
        eventually(lambda: f"Kafka does not let this user {right}: " in one.said(), one.said)


@pytest.mark.parametrize("topic", ["requests", "predictions", "labels"])
def test_capture_says_which_topic_it_may_not_write(house: House, topic: str) -> None:
    right = Right("TOPIC", f"churn.{topic}", "WRITE")
    user = house.guarded.user(*without(right, house.needed("capture")))
    tap = Tap("churn", house.guarded.kafka(user), model="champion@1")
    with tap.request([1.0], request_id="of-no-use") as call:
        call.prediction = True
    tap.label("of-no-use", True)
    counters = tap.close(ROOMY_S)
    assert (counters.lost, counters.delivered) == (1, 2)
    assert f"churn.{topic}: " in str(counters.last_error)
    assert "authorization failed" in str(counters.last_error)


@pytest.mark.parametrize("stage", STAGES)
def test_a_worker_names_at_its_start_whatever_it_may_not_do_to_a_topic(house: House, stage: str) -> None:
    """Also what it would not need for days, such as to write a dead letter."""
    rights = house.needed(stage)
    check_start(house.settings(house.guarded.user(*rights)), STAGES[stage])
    for right in [right for right in rights if right.kind == "TOPIC"]:
        user = house.guarded.user(*without(right, rights))
        with pytest.raises(BrokerError) as caught:
            check_start(house.settings(user), STAGES[stage])
        assert str(caught.value).startswith(f"Kafka does not let this user {right}: ")


@pytest.mark.parametrize("stage", ["aggregate", "decide", "agents", "notify"])
def test_a_worker_names_the_group_and_the_transactional_id_that_it_may_not_use(house: House, stage: str) -> None:
    rights = house.needed(stage)
    for right in [right for right in rights if right.kind in ("GROUP", "TRANSACTIONAL_ID")]:
        with forked(house.config(house.guarded.user(*without(right, rights))), STAGES[stage], stage) as one:
            assert one.ended(ROOMY_S) == 1
            says(one.said(), right)


def test_a_right_that_is_taken_away_ends_the_worker_that_needs_it_with_its_name(house: House) -> None:
    with at_work(house) as workers:
        before = max(one.requests for one in house.verdicts())
        house.send("third", 5)
        eventually(lambda: max(one.requests for one in house.verdicts()) >= before + 6, lambda: complaints(workers))
        for stage, right in TAKEN.items():
            house.guarded.take_away(workers[stage].config.parent.name, [right])
        house.send("fourth", 5)
        for stage, right in TAKEN.items():
            assert workers[stage].ended(ROOMY_S) == 1, stage
            says(workers[stage].said(), right)
            assert "Traceback" not in workers[stage].said()
