"""One POST, and what to do after it.

In: an address, a body, headers. Out: taken, or to be tried again later, or refused for good. One deadline holds for
all of it, from looking up the name to the last byte that is read, whoever the receiver is and however slowly it
speaks. Of an answer its status is read, and of a bad one as much text as is shown; nothing is unpacked. Redirects are
not followed: a body that was meant for one address goes to no other. What is told of a failure never holds the
address's path, which is a secret in most chats.
"""

import asyncio
import functools
import logging
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from shadowbus.settings.webhook import shown_address
from shadowbus.webhook.loop import Loop

logging.getLogger("httpx").setLevel(logging.WARNING)  # below that it logs each address, whole

ANSWER_CHARACTERS = 200
ANSWER_BYTES = 4 * ANSWER_CHARACTERS
LONGEST_WAIT_S = 3600.0
SHORTEST_SECRET = 4
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


def post(url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Answer:
    """Post JSON once.

    Args:
        url: Where to; through a proxy where the environment names one.
        body: JSON.
        headers: More headers, such as a signature.
        timeout_s: How long all of it may take.
    """
    where, said = shown_address(url), bytearray()
    response: httpx.Response | None = None
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            response = runner.run(_exchange(url, body, headers, timeout_s, said))
    except TimeoutError:
        return Later(f"{where} did not answer within {timeout_s:g} s")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
        return Refused(f"{where} is no address that can be posted to ({type(error).__name__})")
    except (ValueError, ImportError):  # httpx knows neither the proxy's scheme nor how to speak to it
        return Refused(f"{where} cannot be reached through the proxy that the environment names")
    except (httpx.HTTPError, OSError) as error:
        return Later(f"{where} cannot be reached ({type(error).__name__})")
    return _read(response, where, _words(said, url))


async def _exchange(
    url: str, body: bytes, headers: dict[str, str], timeout_s: float, said: bytearray
) -> httpx.Response:
    """The response, of which nothing is read but what `said` holds then; the connection is closed."""
    sent = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
    response = None
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx.AsyncClient(verify=_trust(), timeout=timeout_s, follow_redirects=False) as client,
            client.stream("POST", url, content=body, headers=sent) as response,
        ):
            if not response.is_success and "Content-Encoding" not in response.headers:
                async for piece in response.aiter_raw():
                    said += piece[: ANSWER_BYTES - len(said)]
                    if len(said) >= ANSWER_BYTES:
                        break
    except (TimeoutError, httpx.HTTPError):
        if response is None:
            raise  # else its status is known, and only its text came to no end
    return response


@functools.cache
def _trust() -> ssl.SSLContext:
    """Whose certificates are believed: read once, as it takes longer than most posts."""
    return httpx.create_ssl_context()


def _read(response: httpx.Response, where: str, said: str) -> Answer:
    if response.is_success:
        return Taken(response.status_code)
    reason = f"{where} answered {response.status_code}{f': {said}' if said else ''}"
    if response.status_code in _LATER or response.status_code >= 500:
        return Later(reason, _asked_to_wait(response))
    return Refused(reason)


def _words(said: bytearray, url: str) -> str:
    """What was said, on one line, without what steers a terminal, and without the path where that comes back."""
    line = " ".join(said.decode(errors="replace").split())
    plain = "".join(letter for letter in line if letter.isprintable())
    parts = urlsplit(url)
    for secret in (parts.query, parts.path.strip("/"), parts.password or ""):
        plain = plain.replace(secret, "********") if len(secret) >= SHORTEST_SECRET else plain
    return plain[:ANSWER_CHARACTERS]


def _asked_to_wait(response: httpx.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(LONGEST_WAIT_S, float(text)) if text.isascii() and text.isdigit() else 0.0
