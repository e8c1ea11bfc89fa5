"""Settings: what is pinned loads, what is wrong is named with its file and key, secrets stay hidden."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
from confluent_kafka import Consumer

from shadowbus.errors import SettingsError
from shadowbus.kafka.clients import make_admin, make_consumer, make_producer
from shadowbus.settings import GateSettings, Settings, load_settings, masked, parse_settings

PINNED = """
namespace = "churn"
partitions = 4

[kafka]
"bootstrap.servers" = "localhost:9092"

[[shadow]]
name = "challenger"
model = "models/built/challenger/4"
task = "classification"
timeout_ms = 250
allow_pickle = false

[gate]
alpha = 0.05
min_requests = 1000
max_error_rate = 0.001
latency_budget_ms = 50.0
max_over_budget = 0.01
accuracy_margin = 0.005
guard_segments = true
"""


def parse(text: str, **environment: str) -> Settings:
    return parse_settings(tomllib.loads(text), Path("conf/shadow.toml"), environment)


def refusal(text: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(text, **environment)
    return str(caught.value)


def test_the_pinned_example_loads(tmp_path: Path) -> None:
    path = tmp_path / "shadow.toml"
    path.write_text(PINNED)
    settings = load_settings(path)
    assert (settings.namespace, settings.partitions) == ("churn", 4)
    assert settings.kafka == {"bootstrap.servers": "localhost:9092"}
    (shadow,) = settings.shadow
    assert (shadow.name, shadow.task, shadow.timeout_ms, shadow.allow_pickle) == (
        "challenger",
        "classification",
        250.0,
        False,
    )
    assert settings.model_path(shadow) == tmp_path.resolve() / "models/built/challenger/4"
    assert settings.gate == GateSettings(
        alpha=0.05,
        min_requests=1000,
        max_error_rate=0.001,
        latency_budget_ms=50.0,
        max_over_budget=0.01,
        accuracy_margin=0.005,
        guard_segments=True,
    )


def test_a_namespace_is_all_that_is_needed() -> None:
    settings = parse('namespace = "churn"')
    assert settings.shadow == ()
    criteria = ("max_error_rate", "latency_budget_ms", "max_over_budget", "min_agreement", "accuracy_margin")
    assert [getattr(settings.gate, name) for name in criteria] == [None] * 5  # off when absent


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse('namespace = "churn"').namespace = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "key", "right"),
    [
        ('namspace = "x"', "namspace", "namespace"),
        ('namespace = "x"\npartition = 3', "partition", "partitions"),
        ('namespace = "x"\n[gate]\nmax_eror_rate = 0.1', "gate.max_eror_rate", "gate.max_error_rate"),
        ('namespace = "x"\n[[shadow]]\nname = "a"\nmodel = "m"\ntimeout = 3', "shadow[0].timeout", "timeout_ms"),
        ('namespace = "x"\n[worker]\ncommit = 3', "worker.commit", "worker.commit_ms"),
        ('namespace = "x"\n[replays]', "replays", "replay"),
    ],
)
def test_an_unknown_key_is_named_with_the_file_and_the_nearest_right_one(text: str, key: str, right: str) -> None:
    message = refusal(text)
    assert message.startswith("conf/shadow.toml: ")
    assert f"'{key}'" in message
    assert right in message.partition(";")[2]


def test_an_unknown_key_that_is_near_to_nothing_is_answered_with_all_there_are() -> None:
    message = refusal('namespace = "x"\n[judge]\nzzz = 1')
    assert "'judge.zzz'" in message
    assert "horizon_days" in message
    assert "state_dir" in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("partitions = 3", "namespace"),
        ('namespace = "x"\n[[shadow]]\nname = "a"', "shadow[0].model"),
        ('namespace = "x"\n[[shadow]]\nname = "a"\nmodel = "m"\n[[shadow]]\nmodel = "m"', "shadow[1].name"),
        ("namespace = 3", "namespace"),
        ('namespace = "a b"', "namespace"),
        ('namespace = ""', "namespace"),
        ('namespace = "x"\npartitions = "4"', "partitions"),
        ('namespace = "x"\npartitions = true', "partitions"),
        ('namespace = "x"\npartitions = 1.5', "partitions"),
        ('namespace = "x"\npartitions = 0', "partitions"),
        ('namespace = "x"\nreplication = 0', "replication"),
        ('namespace = "x"\ngate = 3', "gate"),
        ('namespace = "x"\nkafka = "localhost"', "kafka"),
        ('namespace = "x"\nshadow = "a"', "shadow"),
        ('namespace = "x"\n[gate]\nalpha = 1', "gate.alpha"),
        ('namespace = "x"\n[gate]\nalpha = "5%"', "gate.alpha"),
        ('namespace = "x"\n[gate]\nmax_error_rate = -0.1', "gate.max_error_rate"),
        ('namespace = "x"\n[gate]\naccuracy_margin = 2', "gate.accuracy_margin"),
        ('namespace = "x"\n[gate]\nguard_segments = 1', "gate.guard_segments"),
        ('namespace = "x"\n[gate]\nmin_accuracy_gain = -0.1', "gate.min_accuracy_gain"),
        ('namespace = "x"\n[gate]\nmax_calibration_error = 5', "gate.max_calibration_error"),
        ('namespace = "x"\n[gate]\nmax_loss_increase = nan', "gate.max_loss_increase"),
        ('namespace = "x"\n[gate]\nmin_value_gain = 0', "gate.min_value_gain"),
        ('namespace = "x"\n[gate]\nmin_days = -1', "gate.min_days"),
        ('namespace = "x"\n[gate]\nlatency_budget_ms = 50', "gate.latency_budget_ms"),
        ('namespace = "x"\n[gate]\nmax_over_budget = 0.1', "gate.max_over_budget"),
        ('namespace = "x"\n[[shadow]]\nname = "a/b"\nmodel = "m"', "shadow[0].name"),
        ('namespace = "x"\n[[shadow]]\nname = "a"\nmodel = "m"\ntimeout_ms = 0', "shadow[0].timeout_ms"),
        ('namespace = "x"\n[[shadow]]\nname = "a"\nmodel = "m"\ntimeout_ms = 2001', "shadow[0].timeout_ms"),
        ('namespace = "x"\n[[shadow]]\nname = "a"\nmodel = "m"\nthreads = 0', "shadow[0].threads"),
        ('namespace = "x"\n[[shadow]]\nname = "a"\nmodel = "m"\nmemory_mb = 0', "shadow[0].memory_mb"),
        ('namespace = "x"\n[worker]\ncommit_ms = 0', "worker.commit_ms"),
        ('namespace = "x"\n[worker]\nrestarts_without_progress = -1', "worker.restarts_without_progress"),
        ('namespace = "x"\n[replay]\njoin_window_ms = 0', "replay.join_window_ms"),
        ('namespace = "x"\n[replay]\nmax_batch = 0', "replay.max_batch"),
        ('namespace = "x"\n[aggregate]\nwindow_seconds = 0', "aggregate.window_seconds"),
        ('namespace = "x"\nsource = "elsewhere"', "source"),
    ],
)
def test_a_wrong_value_is_named_with_the_file_and_the_key(text: str, key: str) -> None:
    message = refusal(text)
    assert message.startswith("conf/shadow.toml: ")
    assert key in message


def test_two_shadows_of_one_name_are_refused() -> None:
    block = '[[shadow]]\nname = "twin"\nmodel = "m"\n'
    message = refusal(f'namespace = "x"\n{block}{block}')
    assert "shadow[0].name" in message
    assert "'twin'" in message


def test_a_whole_number_does_for_a_fraction() -> None:
    settings = parse('namespace = "x"\n[[shadow]]\nname = "a"\nmodel = "m"\ntimeout_ms = 250')
    assert type(settings.shadow[0].timeout_ms) is float


def test_variables_are_filled_from_the_environment() -> None:
    text = 'namespace = "${TEAM}-churn"\n[kafka]\n"sasl.password" = "${SECRET}"\n"client.id" = "${CLIENT:-me}"'
    settings = parse(text, TEAM="red", SECRET="a${b")  # noqa: S106
    assert settings.namespace == "red-churn"
    assert settings.kafka == {"sasl.password": "a${b", "client.id": "me"}
    assert parse(text, TEAM="red", SECRET="", CLIENT="you").kafka["client.id"] == "you"


def test_a_variable_that_is_not_set_is_named_with_its_key() -> None:
    message = refusal('namespace = "x"\n[kafka]\n"sasl.password" = "${SECRET}"')
    assert message.startswith("conf/shadow.toml: ")
    assert "sasl.password" in message
    assert "SECRET" in message


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no settings file .*shadow\.toml.*--config or SHADOWBUS_CONFIG"):
        load_settings(tmp_path / "shadow.toml")


@pytest.mark.parametrize("content", [b"namespace = ", b"\xff\xfe", b'namespace = "x"\nnamespace = "y"'])
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "shadow.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"shadow\.toml cannot be read as TOML: "):
        load_settings(tmp_path / "shadow.toml")


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read as TOML"):
        load_settings(tmp_path)


def test_secrets_are_masked_wherever_they_stand() -> None:
    text = """
namespace = "x"
[kafka]
"bootstrap.servers" = "localhost:9092"
"sasl.username" = "me"
"sasl.password" = "hunter2"
"ssl.key.password" = "hunter2"
"ssl.key.pem" = "hunter2"
"sasl.oauthbearer.client.secret" = "hunter2"
[kafka.producer]
"sasl.password" = "hunter2"
"""
    shown = masked(parse(text))
    assert "hunter2" not in str(shown)
    kafka = shown["kafka"]
    assert isinstance(kafka, dict)
    assert kafka["sasl.username"] == "me"
    assert kafka["bootstrap.servers"] == "localhost:9092"
    assert shown["namespace"] == "x"


def test_every_librdkafka_property_passes_through() -> None:
    """The client itself is the witness: it refuses a value it cannot use, and names the property."""
    for key, wrong in (
        ("fetch.min.bytes", -1),
        ("security.protocol", "carrier-pigeon"),
        ("socket.keepalive.enable", "?"),
    ):
        text = f'namespace = "x"\n[kafka]\n"bootstrap.servers" = "localhost:1"\n"{key}" = {wrong!r}'
        with pytest.raises(SettingsError, match=key):
            make_consumer(parse(text), **{"group.id": "g"})
    with pytest.raises(SettingsError, match=r"no\.such\.property"):
        make_admin(parse('namespace = "x"\n[kafka]\n"bootstrap.servers" = "localhost:1"\n"no.such.property" = 1'))


def test_properties_of_one_role_win_there_and_only_there() -> None:
    settings = parse(
        'namespace = "x"\n[kafka]\n"bootstrap.servers" = "localhost:1"\n"client.id" = "all"\n'
        '[kafka.consumer]\n"client.id" = "reader"\n"fetch.min.bytes" = 7\n'
    )
    assert settings.kafka_for("consumer") == {
        "bootstrap.servers": "localhost:1",
        "client.id": "reader",
        "fetch.min.bytes": 7,
    }
    assert settings.kafka_for("producer") == {"bootstrap.servers": "localhost:1", "client.id": "all"}
    make_producer(settings).flush(0)  # is not given the consumer's property, which it would refuse
    consumer: Consumer = make_consumer(settings, **{"group.id": "g"})
    consumer.close()


def test_without_bootstrap_servers_nothing_is_made() -> None:
    with pytest.raises(SettingsError, match=r"bootstrap\.servers"):
        make_producer(parse('namespace = "x"'))


def test_a_shadow_that_is_not_there_is_answered_with_those_that_are() -> None:
    settings = parse('namespace = "x"\n[[shadow]]\nname = "a"\nmodel = "m"\n[[shadow]]\nname = "b"\nmodel = "m"')
    assert settings.shadow_named("b") is settings.shadow[1]
    with pytest.raises(SettingsError, match=r"conf/shadow\.toml has no shadow named 'c'; it has a, b"):
        settings.shadow_named("c")
    with pytest.raises(SettingsError, match="it has none"):
        parse('namespace = "x"').shadow_named("a")


def test_local_state_stands_beside_the_settings_unless_told_otherwise(tmp_path: Path) -> None:
    source = tmp_path / "shadow.toml"
    plain = parse_settings({"namespace": "x"}, source, {})
    assert plain.state_dir == tmp_path.resolve() / ".shadowbus/x"
    told = parse_settings({"namespace": "x", "judge": {"state_dir": "/var/lib/judge"}}, source, {})
    assert told.state_dir == Path("/var/lib/judge").resolve()
