"""Dashboards and alert rules: everything they ask for is what a run exported, and promtool agrees."""

import os
import re
from pathlib import Path

import pytest
import yaml

from exported import TRIAL, run_in_process
from promql import (
    DASHBOARDS,
    DEPLOY,
    PROMTOOL,
    RULES,
    Sample,
    alerts,
    asked_of,
    dashboard_queries,
    filled,
    labels_of,
    panels,
    promtool,
    unanswered,
    variable_queries,
)

needs_promtool = pytest.mark.skipif(
    PROMTOOL is None and not os.environ.get("CI"), reason="promtool is not installed (Debian: prometheus)"
)

OF_PROMETHEUS = {"up": {"job", "instance"}}
VARIABLES = {
    "trial": TRIAL,
    "segment": "all",
    "criterion": ".+",
    "stage": ".+",
    "__rate_interval": "1m",
}
QUERIES = dict(dashboard_queries())


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return run_in_process(tmp_path_factory.mktemp("run"))[1]


@pytest.fixture(scope="module")
def exported(samples: list[Sample]) -> dict[str, set[str]]:
    return {**labels_of(samples), **OF_PROMETHEUS}


def check(query: str, exported: dict[str, set[str]]) -> None:
    metrics, grouped = asked_of(query)
    assert metrics, query
    for name, labels in metrics.items():
        assert name in exported, f"nothing exports {name}: {query}"
        assert labels <= exported[name], f"{name} has no label {labels - exported[name]}: {query}"
    known = set().union(*(exported[name] for name in metrics))
    assert grouped <= known, f"nothing has the label {grouped - known}: {query}"


def test_there_is_something_to_look_at() -> None:
    assert len(QUERIES) > 40
    assert len(list(alerts())) > 8
    assert {path.stem for path in DASHBOARDS} == {"trials", "workers"}


@pytest.mark.parametrize("name", QUERIES)
def test_a_panel_asks_for_what_was_exported(name: str, exported: dict[str, set[str]]) -> None:
    check(filled(QUERIES[name], VARIABLES), exported)


@pytest.mark.parametrize("rule", list(alerts()), ids=lambda rule: str(rule["alert"]))
def test_an_alert_asks_for_what_was_exported_and_says_what_to_do(
    rule: dict[str, dict[str, str]], exported: dict[str, set[str]]
) -> None:
    query = str(rule["expr"])
    check(query, exported)
    metrics, grouped = asked_of(query)
    known = grouped or set().union(*(exported[name] for name in metrics))
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= known
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["description"].endswith(".")


@pytest.mark.parametrize(("name", "series", "label"), list(variable_queries()))
def test_a_variable_takes_values_of_a_label_that_is_there(
    name: str, series: str, label: str, samples: list[Sample], exported: dict[str, set[str]]
) -> None:
    check(filled(series, VARIABLES), exported)
    (metric,) = asked_of(series)[0]
    assert label in exported[metric]
    assert {one.labels[label] for one in samples if one.name == metric}, name


def test_a_query_for_what_nobody_exports_would_be_noticed(exported: dict[str, set[str]]) -> None:
    for wrong in (
        "sum by (stage) (shadowbus_made_up)",
        'shadowbus_books_gap{stage="replay"}',
        "sum by (topic) (shadowbus_books_gap)",
        'rate(shadowbus_dead_letters_total{nobody=~"a|b"}[5m])',
    ):
        with pytest.raises(AssertionError):
            check(wrong, exported)


def test_rates_are_taken_of_counters_only() -> None:
    for query in (*QUERIES.values(), *(rule["expr"] for rule in alerts())):
        for name in re.findall(r"(?:rate|increase)\((\w+)", query):
            assert name.endswith(("_total", "_bucket", "_count")), query


def test_panels_are_titled_explained_and_do_not_overlap() -> None:
    taken: dict[str, set[tuple[int, int]]] = {}
    for name, panel in panels():
        assert panel["title"], name
        assert panel["description"].endswith((".", "?")), name
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert max(x for x, _ in cells) < 24, name
        board = taken.setdefault(name.partition(":")[0], set())
        assert not board & cells, name
        board |= cells


@needs_promtool
def test_every_query_brings_something_from_what_was_exported(samples: list[Sample], tmp_path: Path) -> None:
    queries = {name: filled(query, VARIABLES) for name, query in QUERIES.items()}
    assert unanswered(queries, samples, tmp_path) == {}


@needs_promtool
def test_promtool_would_notice_a_query_that_brings_nothing(samples: list[Sample], tmp_path: Path) -> None:
    wrong = {"wrong": 'shadowbus_verdict{verdict="PERHAPS"} == 1', "right": "shadowbus_books_gap"}
    assert set(unanswered(wrong, samples, tmp_path)) == {"wrong"}


@needs_promtool
def test_rules_and_settings_of_prometheus_are_valid() -> None:
    for path in RULES:
        done = promtool("check", "rules", str(path))
        assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("check", "config", "--syntax-only", str(DEPLOY / "prometheus" / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_alerts_fire_when_they_should_and_not_when_they_should_not() -> None:
    path = DEPLOY / "prometheus" / "tests" / "alerts.yml"
    done = promtool("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    tests = yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in alerts()}
