"""Scripts that capture, each in a fresh process: what they do to it cannot be undone."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import shadowbus

ROOT = Path(shadowbus.__file__).parents[1]
BEGIN = """
import json, os, sys, time
from shadowbus.capture import Tap

def ask(tap, times):
    for number in range(times):
        with tap.request({"age": number, "country": "DE", "text": "x" * 200}) as call:
            call.prediction = number
    return call

def tell(**found):
    print(json.dumps(found), flush=True)

tap = Tap("churn", {"bootstrap.servers": "127.0.0.1:1"}, model="champion@3", flush_seconds=0.2)
"""


def run(script: str, before: str = "", flags: tuple[str, ...] = ()) -> tuple[list[Any], str]:
    """Every line of JSON the script printed, and what it wrote to stderr.

    Args:
        script: What to do with `tap`, which has no Kafka.
        before: What comes before anything of ours is imported.
        flags: For Python.
    """
    done = subprocess.run(
        [sys.executable, *flags, "-c", before + BEGIN + textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr
