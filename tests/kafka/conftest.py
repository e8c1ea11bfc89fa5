"""One real broker for the whole run, and a fresh namespace for every test."""

import os
import uuid
from collections.abc import Iterator

import pytest

from shadowbus.broker.cluster import EmbeddedKafka


@pytest.fixture(scope="session")
def bootstrap() -> Iterator[str]:
    """Bootstrap servers: a given cluster (SHADOWBUS_TEST_BOOTSTRAP), or an embedded broker."""
    given = os.environ.get("SHADOWBUS_TEST_BOOTSTRAP")
    if given:
        yield given
        return
    with EmbeddedKafka() as kafka:
        yield kafka.bootstrap


@pytest.fixture
def namespace() -> str:
    """A namespace that no other test uses, also not on a shared cluster."""
    return f"t{uuid.uuid4().hex[:10]}"
