"""What is deployed can be started: every command is a real verb with real flags, every file and setting is there."""

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from shadowbus.cli.program import app
from shadowbus.kafka.clients import make_admin
from shadowbus.settings import Settings, parse_settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
MANIFESTS: list[dict[str, Any]] = [
    document
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
WORKLOADS = [manifest for manifest in MANIFESTS if "template" in manifest.get("spec", {})]
THEIRS = {"kafka", "prometheus", "grafana"}
OURS = {name: service for name, service in COMPOSE["services"].items() if name not in THEIRS}
PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
RUN = {"replay", "judge", "aggregate", "decide", "agents"}
KEEPING = {"agents", "judge"}
"""The stages that write to the folder of `judge.state_dir`."""

IMAGE = "shadowbus:0.1.0"
REPLAY_IMAGE = "shadowbus-replay:challenger-4"


def parse_command(arguments: list[str]) -> tuple[str, Mapping[str, Any]]:
    """The verb and its values, parsed by the command line itself, without running it; a wrong flag raises."""
    group = typer.main.get_command(app)
    context = group.make_context("shadowbus", list(arguments))
    rest = [*context._protected_args, *context.args]
    verb = group.commands[rest[0]]  # type: ignore[attr-defined]
    return rest[0], verb.make_context(rest[0], rest[1:], parent=context).params


def container(manifest: dict[str, Any]) -> dict[str, Any]:
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(only)


def compose_settings(**more: str) -> Settings:
    text = (ROOT / "deploy" / "compose" / "shadow.toml").read_text(encoding="utf-8")
    environment = {"SHADOWBUS_BOOTSTRAP": "kafka:19092", **more}
    return parse_settings(tomllib.loads(text), Path("/etc/shadowbus/shadow.toml"), environment)


def kubernetes_settings(**environment: str) -> Settings:
    (config,) = [manifest for manifest in MANIFESTS if manifest["kind"] == "ConfigMap"]
    return parse_settings(tomllib.loads(config["data"]["shadow.toml"]), Path("/etc/shadowbus/shadow.toml"), environment)


def commands() -> Iterator[tuple[str, list[str]]]:
    for name, service in OURS.items():
        yield f"compose {name}", service["command"]
    for manifest in WORKLOADS:
        yield f"kubernetes {manifest['metadata']['name']}", container(manifest)["args"]


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_real_verb_with_real_flags(name: str) -> None:
    verb, values = parse_command(COMMANDS[name])
    if verb == "replay":
        settings = compose_settings() if name.startswith("compose") else kubernetes_settings()
        assert settings.shadow_named(values["shadow"]).name == values["shadow"]


def test_a_wrong_flag_would_be_noticed() -> None:
    with pytest.raises(Exception, match="--shadows"):
        parse_command(["replay", "--shadows", "better"])


def test_every_stage_is_deployed() -> None:
    assert {service["command"][0] for service in OURS.values()} == RUN | {"topics"}
    assert {container(manifest)["args"][0] for manifest in WORKLOADS} == RUN | {"topics"}


def test_workers_in_compose_can_be_scaled() -> None:
    """A name or a worker id that is fixed can exist once only, and so can a published port."""
    for service in OURS.values():
        assert "container_name" not in service
        assert "ports" not in service
        assert "--worker-id" not in service["command"]


def test_workers_in_compose_wait_for_the_topics_and_these_for_kafka() -> None:
    assert OURS["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert OURS["topics"]["restart"] == "no"
    for name in RUN:
        assert OURS[name]["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
        assert OURS[name]["restart"] == "unless-stopped"


def test_kafka_in_compose_is_one_that_workers_reach() -> None:
    kafka = COMPOSE["services"]["kafka"]
    assert kafka["image"].startswith("apache/kafka:4.1.")
    default = re.sub(r"\$\{SHADOWBUS_BOOTSTRAP:-(.*)\}", r"\1", OURS["replay"]["environment"]["SHADOWBUS_BOOTSTRAP"])
    assert f"INTERNAL://{default}" in kafka["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert compose_settings().replication == int(kafka["environment"]["KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR"])


@pytest.mark.parametrize("settings", [compose_settings(), kubernetes_settings()], ids=["compose", "kubernetes"])
def test_settings_load_and_use_what_is_mounted(settings: Settings) -> None:
    assert settings.kafka["bootstrap.servers"]
    (shadow,) = settings.shadow
    assert settings.model_path(shadow).is_relative_to("/srv/models")
    assert settings.state_dir == Path("/var/lib/shadowbus")


def test_what_compose_mounts_is_mounted_where_it_is_looked_for() -> None:
    named = set(COMPOSE["volumes"])
    for name, service in COMPOSE["services"].items():
        for mount in service["volumes"]:
            source, target = mount.split(":")[:2]
            assert source in named or source == "./models/built" or (ROOT / source).exists(), (name, source)
            assert target.startswith("/")
    judge = dict(mount.split(":")[:2] for mount in OURS["judge"]["volumes"])
    assert judge["judge-state"] == str(compose_settings().state_dir)
    assert "./models/built:/srv/models:ro" in OURS["replay"]["volumes"]


def mounted(name: str) -> dict[str, Path]:
    """What a service of compose finds where, of the files of this repository."""
    pairs = (mount.split(":")[:2] for mount in COMPOSE["services"][name]["volumes"])
    return {target: ROOT / source for source, target in pairs if source.startswith("./")}


def test_prometheus_in_compose_finds_every_worker_and_the_rules() -> None:
    files = mounted("prometheus")
    assert "--config.file=/etc/prometheus/prometheus.yml" in COMPOSE["services"]["prometheus"]["command"]
    assert files["/etc/prometheus/prometheus.yml"].is_file()
    (pattern,) = PROMETHEUS["rule_files"]
    assert list(files[str(Path(pattern).parent)].glob(Path(pattern).name))
    (job,) = PROMETHEUS["scrape_configs"]
    assert job["job_name"] == "shadowbus"  # which the rules look for
    (found,) = job["dns_sd_configs"]
    assert set(found["names"]) == RUN
    assert found["port"] == compose_settings().metrics.port
    assert compose_settings().metrics.host == "0.0.0.0"  # noqa: S104
    assert all(OURS[name]["expose"] == [str(found["port"])] for name in RUN)


def test_grafana_in_compose_finds_prometheus_and_the_dashboards() -> None:
    files = mounted("grafana")
    provisioning = files["/etc/grafana/provisioning"]
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "shadowbus.yml").read_text())["providers"]
    dashboards = files[provider["options"]["path"]]
    home = Path(COMPOSE["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (dashboards / home.name).is_file()
    assert str(home.parent) == provider["options"]["path"]


def test_what_is_published_in_compose_is_for_this_machine_only() -> None:
    published = {name: service["ports"] for name, service in COMPOSE["services"].items() if "ports" in service}
    assert published.keys() == THEIRS
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


@pytest.mark.parametrize("name", sorted(RUN))
def test_a_worker_in_kubernetes_shows_its_metrics(name: str) -> None:
    (manifest,) = [one for one in WORKLOADS if one["metadata"]["name"] == f"shadowbus-{name}"]
    port = kubernetes_settings().metrics.port
    assert container(manifest)["ports"] == [{"name": "metrics", "containerPort": port}]
    notes = manifest["spec"]["template"]["metadata"]["annotations"]
    wanted = {"scrape": "true", "port": str(port), "path": "/metrics"}
    assert notes == {f"prometheus.io/{name}": value for name, value in wanted.items()}
    assert kubernetes_settings().metrics.host == "0.0.0.0"  # noqa: S104


def test_the_shadow_of_compose_is_one_that_the_training_writes() -> None:
    from shadowbus.demo import models

    (shadow,) = compose_settings().shadow
    name, version = Path(shadow.model).parts[-2:]
    assert version == models.VERSION
    assert name in (ROOT / "models" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("manifest", WORKLOADS, ids=lambda manifest: manifest["metadata"]["name"])
def test_a_kubernetes_workload_is_whole(manifest: dict[str, Any]) -> None:
    spec = manifest["spec"]["template"]["spec"]
    volumes = {volume["name"] for volume in spec["volumes"]}
    volumes |= {claim["metadata"]["name"] for claim in manifest["spec"].get("volumeClaimTemplates", ())}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(manifest)["volumeMounts"]}
    assert set(mounts) == volumes
    assert mounts["settings"] == "/etc/shadowbus"  # where the image looks for shadow.toml
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert container(manifest)["image"] == (REPLAY_IMAGE if "replay" in manifest["metadata"]["name"] else IMAGE)
    if manifest["kind"] != "Job":
        labels = manifest["spec"]["template"]["metadata"]["labels"]
        assert manifest["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_the_judge_keeps_its_state_and_its_name_in_kubernetes() -> None:
    (judge,) = [manifest for manifest in WORKLOADS if manifest["metadata"]["name"] == "shadowbus-judge"]
    assert judge["kind"] == "StatefulSet"
    arguments = container(judge)["args"]
    assert arguments[arguments.index("--worker-id") + 1] == "$(POD_NAME)"
    assert "POD_NAME" in {variable["name"] for variable in container(judge)["env"]}
    (service,) = [manifest for manifest in MANIFESTS if manifest["kind"] == "Service"]
    assert judge["spec"]["serviceName"] == service["metadata"]["name"]


def test_the_image_is_the_one_that_is_deployed() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    words = [shlex.split(line) for line in lines if line and not line.startswith("#")]
    assert sum(line[0] == "FROM" for line in words) == 2  # what builds is left behind
    last = [line for line in words if line[0] in ("ENTRYPOINT", "USER")]
    assert ["USER", "10001:10001"] in last
    assert 'ENTRYPOINT ["shadowbus"]' in lines
    assert any("--constraint" in line and ".[worker,models]" in line for line in words)
    for line in words:
        if line[0] == "COPY" and not line[1].startswith("--from"):
            assert all((ROOT / source).exists() for source in line[1:-1]), line
    assert {service["image"] for service in OURS.values()} == {IMAGE}


@pytest.mark.parametrize("name", OURS)
def test_a_container_of_ours_may_do_little(name: str) -> None:
    service = OURS[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert 64 <= service["pids_limit"] <= 512
    assert re.fullmatch(r"[1-4]g", service["mem_limit"])
    assert service["init"] is True
    written = [place.partition(":")[0] for place in service["tmpfs"]]
    written += [mount.split(":")[1] for mount in service["volumes"] if not mount.endswith(":ro")]
    assert sorted(written) == ["/tmp", *(["/var/lib/shadowbus"] if name in KEEPING else [])]  # noqa: S108
    assert all("size=" in place for place in service["tmpfs"])


@pytest.mark.parametrize("manifest", WORKLOADS, ids=lambda manifest: manifest["metadata"]["name"])
def test_a_pod_of_ours_may_do_little(manifest: dict[str, Any]) -> None:
    spec, only = manifest["spec"]["template"]["spec"], container(manifest)
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert only["resources"]["limits"]["memory"] == only["resources"]["requests"]["memory"]
    written = {mount["mountPath"] for mount in only["volumeMounts"] if not mount.get("readOnly")}
    keeping = manifest["metadata"]["name"].removeprefix("shadowbus-") in KEEPING
    assert written == {"/tmp", *(["/var/lib/shadowbus"] if keeping else [])}  # noqa: S108


def test_a_model_fits_into_the_memory_of_its_container() -> None:
    """What the worker itself takes is measured in docs/operations.md."""
    own_mb = 1024
    (shadow,) = compose_settings().shadow
    assert shadow.memory_mb + own_mb <= 1024 * int(OURS["replay"]["mem_limit"].removesuffix("g"))
    (replay,) = [one for one in WORKLOADS if one["metadata"]["name"] == "shadowbus-replay"]
    limit = container(replay)["resources"]["limits"]["memory"]
    (shadow,) = kubernetes_settings().shadow
    assert shadow.memory_mb + own_mb <= 1024 * int(limit.removesuffix("Gi"))


@pytest.mark.parametrize("name", sorted(RUN))
def test_what_looks_after_a_worker_asks_the_worker_itself(name: str) -> None:
    command, program, flag, code = OURS[name]["healthcheck"]["test"]
    assert (command, program, flag) == ("CMD", "python", "-c")
    assert f"http://127.0.0.1:{compose_settings().metrics.port}/healthz" in code
    ast.parse(code)
    (manifest,) = [one for one in WORKLOADS if one["metadata"]["name"] == f"shadowbus-{name}"]
    assert container(manifest)["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}


def test_a_password_comes_from_the_environment_and_a_secret() -> None:
    secret = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "secret.yaml.example").read_text(encoding="utf-8"))
    assert secret["kind"] == "Secret"
    for settings in (compose_settings(**secret["stringData"]), kubernetes_settings(**secret["stringData"])):
        found = {key: settings.kafka[key] for key in ("security.protocol", "sasl.username", "sasl.password")}
        assert found == {
            "security.protocol": "sasl_ssl",
            "sasl.username": "shadowbus",
            "sasl.password": "change-me",
        }
    for manifest in WORKLOADS:
        assert container(manifest)["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"], "optional": True}}]
    for service in OURS.values():
        assert service["environment"]["KAFKA_PASSWORD"] == "${KAFKA_PASSWORD:-}"  # noqa: S105


@pytest.mark.parametrize("settings", [compose_settings(), kubernetes_settings()], ids=["compose", "kubernetes"])
def test_without_a_password_clients_come_in_by_plaintext(settings: Settings) -> None:
    assert settings.kafka["security.protocol"] == "plaintext"
    make_admin(settings)


def test_the_bundles_are_in_the_image_of_replay() -> None:
    lines = (ROOT / "deploy" / "kubernetes" / "replay.Dockerfile").read_text(encoding="utf-8").splitlines()
    (shadow,) = kubernetes_settings().shadow
    (copied,) = [line for line in lines if line.startswith("COPY")]
    assert f"FROM {IMAGE}" in lines
    assert kubernetes_settings().model_path(shadow).is_relative_to(copied.split()[-1])
    assert any(f"--tag {REPLAY_IMAGE}" in line for line in lines)
