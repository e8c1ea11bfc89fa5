"""`[[notify]]`: who is told when a verdict changes."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from shadowbus.errors import SettingsError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
FORMATS = ("chat", "json")
VERDICTS = ("PROMOTE", "KEEP_WATCHING", "SEND_BACK")


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """One `[[notify]]`: an address that is told when a verdict changes."""

    name: str
    url: str
    format: str = "chat"
    on: tuple[str, ...] = VERDICTS
    link: str = ""
    secret: str = ""
    timeout_seconds: float = 10.0


def check_notify(receivers: Sequence[NotifySettings], source: object) -> None:
    """Are these addresses that can be told something?

    Raises:
        SettingsError: One of them is not; the message names the file and the key, and never shows the address.
    """
    names = [one.name for one in receivers]
    for i, one in enumerate(receivers):
        unknown = [word for word in one.on if word not in VERDICTS]
        problems = {
            "name": not NAME.fullmatch(one.name) and "may hold letters, digits, '.', '_' and '-'",
            "url": not is_web_address(one.url) and "has to be an address that begins with https:// or http://",
            "format": one.format not in FORMATS and f"has to be one of {', '.join(FORMATS)}",
            "on": bool(unknown or not one.on) and f"holds some of {', '.join(VERDICTS)}",
            "link": bool(one.link) and not is_web_address(one.link) and "has to begin with https:// or http://",
            "timeout_seconds": not is_time(one.timeout_seconds) and "has to be more than 0, and 60 at most",
        }
        if names.count(one.name) > 1:
            problems["name"] = f"{one.name!r} is used twice"
        for key, rule_broken in problems.items():
            if rule_broken:
                raise SettingsError(f"{source}: 'notify[{i}].{key}' {rule_broken}.")


def is_web_address(text: str) -> bool:
    """Whether something can be posted there.

    >>> is_web_address("https://chat.example/hooks/x"), is_web_address("file:///etc/passwd"), is_web_address("http://")
    (True, False, False)
    """
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def is_time(seconds: float, most: float = 60.0) -> bool:
    """Whether a call may be given so many seconds."""
    return math.isfinite(seconds) and 0 < seconds <= most


def shown_address(url: str) -> str:
    """An address without what may be secret in it: who is asked, not what is said.

    >>> shown_address("https://user:pw@chat.example:8443/services/T0/B0/xyz?token=1")
    'https://chat.example:8443/********'
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "********"
    if not parts.hostname:
        return "********"
    return f"{parts.scheme}://{parts.hostname}{port}{'/********' if parts.path.strip('/') or parts.query else ''}"
