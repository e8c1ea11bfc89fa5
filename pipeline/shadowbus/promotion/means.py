"""Which way of acting the settings name."""

from shadowbus.errors import SettingsError
from shadowbus.promotion.command import Command
from shadowbus.promotion.mlflow_process import MlflowProcess
from shadowbus.promotion.mlflow_registry import MlflowRegistry
from shadowbus.promotion.order import Means
from shadowbus.promotion.webhook import Webhook
from shadowbus.settings import Settings


def means_of(settings: Settings, shadow: str = "") -> Means:
    """The one that is set.

    Args:
        settings: Whose `[promotion]` it is.
        shadow: For which shadow; it may name a registered model of its own.

    Raises:
        SettingsError: None is.
    """
    one = settings.promotion
    if one.mlflow_uri:
        own = [each.mlflow_model for each in settings.shadow if each.name == shadow and each.mlflow_model]
        registry = MlflowRegistry(one.mlflow_uri, own[0] if own else one.mlflow_model, one.alias, one.rejected_alias)
        return MlflowProcess(registry, one.timeout_seconds)
    if one.command:
        return Command(one.command, settings.source.parent.resolve(), one.timeout_seconds)
    if one.webhook:
        return Webhook(one.webhook, one.secret, one.timeout_seconds)
    raise SettingsError(
        f"{settings.source} has no [promotion] that says what to do: set mlflow_uri, command or webhook in it."
    )
