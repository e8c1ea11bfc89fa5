"""Moves an alias of MLflow's model registry, and writes on the version why. The only file that imports MLflow."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shadowbus.promotion.order import Done, NotDone, Order
from shadowbus.settings.promotion import without_password

TAG_CHARACTERS = 4_000
FOLDER = "shadowbus"


@dataclass(frozen=True, slots=True)
class MlflowRegistry:
    """`[promotion] mlflow_uri`: the shadow's version is that of the registered model.

    Args:
        uri: The tracking server, whose registry it is.
        model: The registered model; else it is called as the shadow.
        alias: The alias of the model that serves.
        rejected_alias: The alias of the one that was sent back last.
    """

    uri: str
    model: str
    alias: str
    rejected_alias: str

    def plan(self, order: Order) -> Done:
        """Look where the alias points now.

        Raises:
            NotDone: The registry does not answer, or has no such version.
        """
        model, alias = self._names(order)
        client = self._client()
        self._version(client, model, order.version)
        now = self._holder(client, model, alias)
        where = f"{model} in {without_password(self.uri)}"
        detail = {"model": model, "alias": alias, "version": order.version, "previous": now}
        if now == order.version:
            return Done(f"The alias {alias} of {where} points at version {now} already.", {**detail, "previous": ""})
        before = f"from version {now}" if now else "which is not there yet,"
        return Done(f"Moves the alias {alias} of {where} {before} to version {order.version}.", detail)

    def act(self, order: Order) -> Done:
        """Write down why, attach the report, then move the alias, then look whether it has moved.

        Raises:
            NotDone: One of these did not work; what comes after it was not done.
        """
        model, alias = self._names(order)
        client = self._client()
        version = self._version(client, model, order.version)
        with _in_words():
            already = self._holder(client, model, alias) == order.version
            for key, value in _tags(order).items():
                client.set_model_version_tag(model, order.version, f"shadowbus.{key}", value[:TAG_CHARACTERS])
            attached = self._attach(client, version, order)
            if order.action == "send_back":
                client.update_model_version(model, order.version, description=order.reason[:TAG_CHARACTERS])
            if not already:
                client.set_registered_model_alias(model, alias, order.version)
        if self._holder(client, model, alias) != order.version:
            raise NotDone(f"The alias {alias} of {model} does not point at version {order.version}: somebody moved it.")
        told = f"The alias {alias} of {model} {'pointed at' if already else 'points at'} version {order.version}"
        still = order.action == "send_back" and self._holder(client, model, self.alias) == order.version
        warning = f" It is also {self.alias} still: move that alias back yourself." if still else ""
        return Done(f"{told}{' already' if already else ''}.{attached and f' {attached}'}{warning}")

    def _names(self, order: Order) -> tuple[str, str]:
        model = self.model or order.model.rpartition("@")[0]
        return model, self.alias if order.action == "promote" else self.rejected_alias

    def _client(self) -> Any:
        from mlflow import MlflowClient

        with _in_words():
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def _version(self, client: Any, model: str, version: str) -> Any:
        with _in_words():
            return client.get_model_version(model, version)

    def _holder(self, client: Any, model: str, alias: str) -> str:
        with _in_words():
            return str(client.get_registered_model(model).aliases.get(alias, ""))

    def _attach(self, client: Any, version: Any, order: Order) -> str:
        if order.report is None:
            return ""
        if not version.run_id:
            return f"The version has no run to attach a report to; its tags say where it is: {order.report}."
        client.log_artifact(version.run_id, str(order.report), FOLDER)
        return f"The report is attached to run {version.run_id}, in {FOLDER}/."


def load() -> None:
    """Import MLflow, which takes a while, so that what comes later is only what the registry makes of it."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # a promotion is nobody else's business
    import mlflow  # noqa: F401


def _tags(order: Order) -> dict[str, str]:
    tags = {"verdict": order.verdict.verdict, "reason": order.reason, "trial": order.trial, "by": order.by}
    return {**tags, "key": order.key, **({"report": str(order.report)} if order.report else {})}


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, OSError) as error:
        first = str(error).strip().partition("\n")[0].rstrip(".")
        raise NotDone(f"MLflow's registry says: {first}.") from error
