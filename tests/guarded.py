"""A real broker with an authorizer: nobody may do what was not granted, and tests grant and take away.

Clients with a password come in by a second listener; the plain one is for the test itself, which may do everything.
"""

import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from shadowbus.broker.cluster import EmbeddedKafka
from shadowbus.broker.folder import HOST, free_ports
from shadowbus.clock import Deadline
from shadowbus.rights import Right

PASSWORD = "of-the-test"  # noqa: S105
USERS = 400
ALLOW = AclPermissionType.ALLOW


@dataclass(frozen=True)
class Guarded:
    """A cluster in which a user may do what was granted to it; `open` is the listener that is asked for nothing."""

    open: str
    bootstrap: str
    admin: AdminClient
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(USERS)))

    def user(self, *rights: Right) -> str:
        """Somebody new who may do this and nothing else."""
        name = f"user-{next(self.numbers)}"
        self.grant(name, rights)
        return name

    def kafka(self, user: str) -> dict[str, str]:
        """How this user reaches it: the `[kafka]` of its settings."""
        return {
            "bootstrap.servers": self.bootstrap,
            "security.protocol": "sasl_plaintext",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": PASSWORD,
        }

    def grant(self, user: str, rights: Collection[Right]) -> None:
        """Let this user, who might do nothing yet, do it."""
        bindings = [_binding(user, right) for right in rights]
        for future in self.admin.create_acls(bindings).values() if bindings else ():
            future.result(20)
        self._until(user, set(rights))

    def take_away(self, user: str, rights: Iterable[Right]) -> None:
        """Let this user no longer do it."""
        filters = [_filter(user, right) for right in rights]
        for future in self.admin.delete_acls(filters).values() if filters else ():
            assert len(future.result(20)) == 1

    def granted(self, user: str) -> set[Right]:
        """What this user may do, as the authorizer knows it."""
        anything: Any = None
        everything = AclBindingFilter(
            ResourceType.ANY, anything, ResourcePatternType.ANY, f"User:{user}", anything, AclOperation.ANY, ALLOW
        )
        return {_right(one) for one in self.admin.describe_acls(everything).result(20)}

    def _until(self, user: str, wanted: set[Right]) -> None:
        """Wait until the authorizer has heard of it: the controller answers before that."""
        deadline, pause = Deadline.after(20), threading.Event()
        while self.granted(user) != wanted:
            assert not deadline.passed
            pause.wait(0.02)


@contextmanager
def guarded_kafka() -> Iterator[Guarded]:
    """One broker that takes the users `user-0` and so on, none of which may do anything yet."""
    plain, sasl, controller = free_ports(3)
    users = " ".join(f'user_user-{number}="{PASSWORD}"' for number in range(USERS))
    properties = {
        "listeners": f"PLAINTEXT://{HOST}:{plain},SASL://{HOST}:{sasl},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{plain},SASL://{HOST}:{sasl}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
    }
    with EmbeddedKafka(port=plain, properties=properties) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
        yield Guarded(kafka.bootstrap, f"{HOST}:{sasl}", admin)


def _binding(user: str, right: Right) -> AclBinding:
    return AclBinding(
        _kind(right), right.name, _pattern(right), f"User:{user}", "*", AclOperation[right.operation], ALLOW
    )


def _filter(user: str, right: Right) -> AclBindingFilter:
    return AclBindingFilter(
        _kind(right), right.name, _pattern(right), f"User:{user}", "*", AclOperation[right.operation], ALLOW
    )


def _kind(right: Right) -> ResourceType:
    return ResourceType.BROKER if right.kind == "CLUSTER" else ResourceType[right.kind]


def _pattern(right: Right) -> ResourcePatternType:
    return ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL


def _right(one: AclBinding) -> Right:
    kind: Any = "CLUSTER" if one.restype is ResourceType.BROKER else ResourceType(one.restype).name
    prefixed = one.resource_pattern_type is ResourcePatternType.PREFIXED
    operation: Any = AclOperation(one.operation).name
    return Right(kind, one.name, operation, prefixed)
