"""The queries of dashboards and alert rules, what they ask for, and whether promtool finds it in an exposition."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from prometheus_client.parser import text_string_to_metric_families

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
DASHBOARDS = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
RULES = sorted((DEPLOY / "prometheus" / "rules").glob("*.yml"))
PROMTOOL = shutil.which("promtool")

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_RANGE = re.compile(r"\[[^\]]*\]")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?(\s*\()?")
_MATCHER = re.compile(r"([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)")
_WORDS = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "group_left", "group_right"}


class Sample(NamedTuple):
    """One line of an exposition."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples_of(exposition: str, instance: str) -> list[Sample]:
    """The samples of one worker, with the labels that Prometheus adds."""
    return [
        Sample(sample.name, {**sample.labels, "job": "shadowbus", "instance": instance}, sample.value)
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    ]


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every panel that asks for something, under the name of its dashboard and its own."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            if panel["type"] != "row":
                yield f"{path.stem}: {panel['title']}", panel


def dashboard_queries() -> Iterator[tuple[str, str]]:
    """Every query of every panel, as it is written."""
    for name, panel in panels():
        yield from ((f"{name} ({target['refId']})", target["expr"]) for target in panel["targets"])


def variable_queries() -> Iterator[tuple[str, str, str]]:
    """What fills the variables of dashboards: variable, series, and the label whose values it takes."""
    for path in DASHBOARDS:
        for variable in json.loads(path.read_text(encoding="utf-8"))["templating"]["list"]:
            if variable["type"] == "query":
                found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
                assert found is not None, variable["query"]
                yield f"{path.stem}: ${variable['name']}", found[1], found[2]


def alerts() -> Iterator[dict[str, Any]]:
    """Every alert rule."""
    for path in RULES:
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            yield from group["rules"]


def filled(query: str, variables: Mapping[str, str]) -> str:
    """A query with Grafana's variables replaced."""
    return re.sub(r"\$(\w+)", lambda found: variables[found[1]], query)


def asked_of(query: str) -> tuple[dict[str, set[str]], set[str]]:
    """The metrics that a query reads with the labels it matches, and the labels that it groups by."""
    plain = _RANGE.sub("", _STRING.sub('""', query))
    grouped = {label.strip() for labels in _GROUPING.findall(plain) for label in labels.split(",") if label.strip()}
    found: dict[str, set[str]] = {}
    for name, matchers, call in _SELECTOR.findall(_GROUPING.sub(" ", plain)):
        if not call and name not in _WORDS:
            found.setdefault(name, set()).update(_MATCHER.findall(matchers))
    return found, grouped


def unanswered(queries: Mapping[str, str], samples: Sequence[Sample], folder: Path) -> dict[str, str]:
    """Of these queries those that bring nothing, where the samples stand still for half an hour; promtool evaluates."""
    series = [{"series": _series(sample), "values": f"{sample.value!r}+0x60"} for sample in samples]
    tests = [
        {"expr": f"count({query}) > bool 0", "eval_time": "29m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for query in queries.values()
    ]
    asked = {"evaluation_interval": "30s", "tests": [{"interval": "30s", "input_series": series}]}
    asked["tests"][0]["promql_expr_test"] = tests  # type: ignore[index]
    (folder / "queries.yml").write_text(json.dumps(asked), encoding="utf-8")  # JSON is YAML
    done = promtool("test", "rules", str(folder / "queries.yml"))
    if done.returncode == 0:
        return {}
    said = done.stdout + done.stderr
    empty = {name: query for name, query in queries.items() if f"count({query}) > bool 0" in _unescaped(said)}
    return empty or {"promtool": said}


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=120, check=False)


def labels_of(samples: Iterable[Sample]) -> dict[str, set[str]]:
    """The labels that the samples of each metric have."""
    found: dict[str, set[str]] = {}
    for sample in samples:
        found.setdefault(sample.name, set()).update(sample.labels)
    return found


def _series(sample: Sample) -> str:
    labels = ",".join(f"{name}={json.dumps(value)}" for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}}"


def _unescaped(said: str) -> str:
    return said.replace('\\"', '"')
