"""One POST, and what to do after it.

In: an address, a body, headers. Out: taken, or to be tried again later, or refused for good. Redirects are not
followed: a body that was meant for one address goes to no other. What is told of a failure never holds the address's
path, which is a secret in most chats.
"""

import logging
from dataclasses import dataclass

import httpx

from shadowbus.settings.webhook import shown_address

logging.getLogger("httpx").setLevel(logging.WARNING)  # below that it logs each address, whole

ANSWER_CHARACTERS = 200
LONGEST_WAIT_S = 3600.0
_LATER = {408, 409, 425, 429}


@dataclass(frozen=True, slots=True)
class Taken:
    """The receiver has it."""

    status: int


@dataclass(frozen=True, slots=True)
class Later:
    """It may work when it is tried again, in `wait_s` seconds at the earliest."""

    reason: str
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """It will not work, however often it is tried: a person has to look."""

    reason: str


Answer = Taken | Later | Refused


def post(client: httpx.Client, url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
    """Post JSON once.

    Args:
        client: Whose connections to use.
        url: Where to.
        body: JSON.
        headers: More headers, such as a signature.
        timeout_s: How long the receiver may take to connect, and between two signs of life.
    """
    where = shown_address(url)
    try:
        response = client.post(
            url,
            content=body,
            headers={"Content-Type": "application/json", **headers},
            timeout=timeout_s,
            follow_redirects=False,
        )
    except httpx.TimeoutException:
        return Later(f"{where} did not answer within {timeout_s:g} s")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        return Refused(f"{where} is no address that can be posted to ({type(error).__name__})")
    except httpx.HTTPError as error:
        return Later(f"{where} cannot be reached ({type(error).__name__})")
    if response.is_success:
        return Taken(response.status_code)
    said = " ".join(response.text[:ANSWER_CHARACTERS].split())
    reason = f"{where} answered {response.status_code}{f': {said}' if said else ''}"
    if response.status_code in _LATER or response.status_code >= 500:
        return Later(reason, _asked_to_wait(response))
    return Refused(reason)


def _asked_to_wait(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(LONGEST_WAIT_S, float(text)) if text.isascii() and text.isdigit() else 0.0
