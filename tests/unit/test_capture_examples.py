"""The examples a user starts from run, also where no Kafka is."""

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_asgi_example_answers_and_takes_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA", "127.0.0.1:1")
    spec = importlib.util.spec_from_file_location("service_asgi", EXAMPLES / "service_asgi.py")
    assert spec is not None
    assert spec.loader is not None
    service: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)

    async def talk() -> tuple[httpx.Response, httpx.Response, httpx.Response]:
        transport = httpx.ASGITransport(service.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            answer = await client.post("/predict", json={"features": {"age": 41, "calls": 3}})
            label = {"request_id": answer.headers["x-request-id"], "label": "stay"}
            return answer, await client.post("/outcome", json=label), await client.get("/health")

    answer, outcome, health = asyncio.run(talk())
    service.tap.close(0)
    assert answer.json()["prediction"] == "churn"
    assert outcome.status_code == 204
    assert (health.json()["captured"], sum(health.json()["lost"].values())) == (3, 0)


def test_the_decorator_example_answers_and_says_what_was_lost() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "service_decorator.py"],
        env={**os.environ, "KAFKA": "127.0.0.1:1", "PYTHONPATH": str(EXAMPLES.parent / "pipeline")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = ["customer 1: 0.10", "customer 2: 0.70", "customer 3: 1.00", "captured 7, delivered 0, lost 7"]
    assert done.stdout.splitlines() == answers


def test_the_examples_in_the_docs_run(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (EXAMPLES.parent / "docs" / "capture.md").read_text(encoding="utf-8")
    found = [textwrap.dedent(code) for code in re.findall(r"^ *```python\n(.*?)^ *```", page, re.DOTALL | re.MULTILINE)]
    assert len(found) == 4
    names: dict[str, Any] = {"features": {"age": 41}, "model": lambda _: "stay", "app": lambda *_: None}
    for code in found:
        exec(code.replace("localhost:9092", "127.0.0.1:1"), names)  # noqa: S102 - our own page
    names["tap"].close(0)
    assert (names["health"]["captured"], names["health"]["lost"]) == (3, {})
    assert names["call"].prediction == "stay"
