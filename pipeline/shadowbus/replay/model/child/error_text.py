"""What a model raised, as a comparison holds it: one short text, whatever the exception is."""

import errno
import re
import socket

from shadowbus.replay.model.messages import TEXT_CHARACTERS

NO_NETWORK = " (this model has no network; network = true in its [[shadow]] gives it one)"

READ_CHARACTERS = 2_000
"""So much of a text is looked at."""

_UNREACHABLE = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ECONNREFUSED}
_UNREACHABLE_TEXT = re.compile(
    r"network is (unreachable|down)|no route to host|connection refused|name resolution|name or service not known"
    r"|could not (resolve|translate) host|failed to resolve|nodename nor servname|dns (resolution|lookup) failed"
    r"|max retries exceeded",
    re.IGNORECASE,
)


def error_text(error: BaseException, advice: str = "") -> str:
    """An exception as a text that JSON can hold.

    Args:
        error: What was raised.
        advice: What to add where the cause is the missing network.
    """
    more = advice if advice and misses_network(error) else ""
    said = f"{type(error).__name__}: {_words(error)}"[: TEXT_CHARACTERS - len(more)]
    return said.encode(errors="replace").decode() + more


def misses_network(error: BaseException | None) -> bool:
    """Whether a network that cannot be reached caused an exception, or one that led to it."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        if isinstance(error, socket.gaierror) or (isinstance(error, OSError) and error.errno in _UNREACHABLE):
            return True
        if _UNREACHABLE_TEXT.search(_words(error)):
            return True
        seen.append(error)
        error = error.__cause__ or error.__context__
    return False


def _words(error: BaseException) -> str:
    try:
        return str(error)[:READ_CHARACTERS]
    except BaseException:  # what a model raises may be anything
        return "its text cannot be read"
