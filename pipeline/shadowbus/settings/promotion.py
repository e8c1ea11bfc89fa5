"""`[promotion]`: what is done about a verdict, once somebody says so."""

from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from shadowbus.errors import SettingsError
from shadowbus.settings.webhook import is_time, is_web_address

LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class PromotionSettings:
    """`[promotion]`: one of a registry, a command or a webhook; none of them and nothing can be promoted."""

    approval: bool = False
    mlflow_uri: str = ""
    mlflow_model: str = ""
    alias: str = "champion"
    rejected_alias: str = "rejected"
    command: tuple[str, ...] = ()
    webhook: str = ""
    secret: str = ""
    timeout_seconds: float = 120.0

    @property
    def means(self) -> tuple[str, ...]:
        """Which of the three are set."""
        named = {"mlflow": self.mlflow_uri, "command": self.command, "webhook": self.webhook}
        return tuple(name for name, value in named.items() if value)


def check_promotion(promotion: PromotionSettings, source: object) -> None:
    """Can this be done?

    Raises:
        SettingsError: It cannot; the message names the file and the key, and never shows an address.
    """
    problems = {
        "mlflow_uri": len(promotion.means) > 1 and "and 'command' and 'webhook' are three ways: choose one",
        "alias": not promotion.alias and "has to be a name",
        "rejected_alias": promotion.rejected_alias in ("", promotion.alias) and "has to be another name than 'alias'",
        "command": (bool(promotion.command) and not promotion.command[0] and "begins with the name of a program")
        or (any("\0" in one for one in promotion.command) and "may not hold the character 0"),
        "webhook": bool(promotion.webhook)
        and not is_web_address(promotion.webhook)
        and "has to be an address that begins with https:// or http://",
        "secret": bool(promotion.webhook) and not promotion.secret and "is needed to sign what goes to the webhook",
        "timeout_seconds": not is_time(promotion.timeout_seconds, LONGEST_S) and "has to be more than 0, 3600 at most",
    }
    for key, rule_broken in problems.items():
        if rule_broken:
            raise SettingsError(f"{source}: 'promotion.{key}' {rule_broken}.")


def without_password(address: str) -> str:
    """An address without the name and password in it.

    >>> without_password("https://user:pw@mlflow.example/api"), without_password("sqlite:///mlflow.db")
    ('https://********@mlflow.example/api', 'sqlite:///mlflow.db')
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return "********"
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=f"********@{parts.netloc.rpartition('@')[2]}"))
