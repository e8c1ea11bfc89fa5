"""`shadowbus report` from the topics of a real broker."""

import json
from pathlib import Path

import pytest
from confluent_kafka import Producer

from shadowbus.cli.program import run
from shadowbus.clock import now_ms
from shadowbus.kafka.topics import create_topics
from shadowbus.settings import load_settings
from staged import Staged

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

GATE = "[gate]\nmin_requests = 300\nmax_error_rate = 0.003\naccuracy_margin = 0.02\n"


def test_a_report_from_topics_has_every_trial_and_what_was_done(bootstrap: str, namespace: str, tmp_path: Path) -> None:
    config, out = tmp_path / "shadow.toml", tmp_path / "report.md"
    config.write_text(
        f'namespace = "{namespace}"\npartitions = 2\n[kafka]\n"bootstrap.servers" = "{bootstrap}"\n{GATE}'
        + "".join(
            f'[[shadow]]\nname = "{name}"\nmodel = "{name}"\ncontrol = {str(name == "control").lower()}\n'
            for name in ("better", "worse", "crasher", "control")
        )
    )
    settings = load_settings(config)
    create_topics(settings)
    staged, producer = (
        Staged(settings, start_ms=now_ms() - 60_000),
        Producer({"bootstrap.servers": bootstrap, "log_level": 0}),
    )
    for requests in (100, 400, 700):
        for one in staged.play(requests):
            producer.produce(f"{namespace}.{one.topic}", one.value, one.key)
    trial = staged.trial("better")
    done = {
        "trial": trial,
        "action": "promote",
        "step": "done",
        "by": "ann",
        "at_ms": now_ms(),
        "binding": "b",
        "key": "k",
    }
    producer.produce(f"{namespace}.verdicts", json.dumps({**done, "told": "Deployed."}), f"{trial}|promotion")
    assert producer.flush(20) == 0

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("shadowbus.cli.logs.set_up", lambda *_: None)
        with pytest.raises(SystemExit) as leaving:
            run(["--config", str(config), "report", "--out", str(out)])
    assert not leaving.value.code
    text = out.read_text()
    assert text.startswith("# better@\u200b1 was promoted. Send back")
    assert text.count("<summary>Evidence</summary>") == 4
    assert "It was promoted by ann" in text
    assert "Deployed." in text
    assert f"namespace {namespace}" in text
