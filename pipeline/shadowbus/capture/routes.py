"""Which paths are watched, and whether any request ever came to one.

A route is what a person would write, from whichever place they look: the path in the app's own routing (`/predict`), or
the one that clients use, with the prefixes of mounts and proxies before it (`/api/predict`). Nobody has to know where
in the stack the middleware stands.
"""

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator

from shadowbus.capture.counters import Tally
from shadowbus.errors import SettingsError

logger = logging.getLogger("shadowbus.capture")

METHODS = ("POST", "PUT", "PATCH")
MANY_UNMATCHED = 100
"""So many requests without one that is watched are no chance any more."""

MAX_KNOWN = 1_000
"""Paths whose answer is remembered: those of a service that has ids in its paths have no end."""

_SHOWN = 5
_PARAMETER = re.compile(r"\{(?:[^{}:]+)(:path)?[^{}]*\}|<(path:)?[^<>]+>|(\*)")


class Routes:
    """Says of each request whether it is watched, and counts.

    >>> routes = Routes(["/predict", "/models/{name}/predict"])
    >>> [routes.watches("POST", path, root) for path, root in (("/predict/", ""), ("/v2/models/a/predict", "/v2"))]
    [True, True]

    Raises:
        SettingsError: There is no route, or one that no path can match.
    """

    def __init__(self, routes: Iterable[str]) -> None:
        self._given = [routes] if isinstance(routes, str) else list(routes)
        if not self._given:
            raise SettingsError('ShadowTap needs the routes it should watch, such as routes=["/predict"].')
        self._pattern = re.compile("|".join(f"(?:{_as_pattern(route)})" for route in self._given))
        self._known: dict[tuple[str, str], bool] = {}
        self.reset()

    def reset(self) -> None:
        """Count from zero, as a forked child does."""
        self._unmatched: dict[str, None] = {}
        self._told = False
        self.seen, self.matched = Tally(), Tally()

    def watches(self, method: str, path: str, root_path: str) -> bool:
        """Whether a request is to be captured.

        Args:
            method: Of HTTP.
            path: As ASGI has it, with the prefix or (older frameworks, proxies that strip it) without.
            root_path: The prefix, where there is one.
        """
        self.seen.add()
        if method in METHODS and self._matches(path, root_path):
            self.matched.add()
            return True
        if not self._told:
            self._miss(method, path)
        return False

    def tell(self) -> None:
        """Say once in the log that requests came by and none was watched, if that is so."""
        if self._told or self.matched.value or not self.seen.value:
            return
        self._told = True
        with contextlib.suppress(Exception):  # a log handler that fails is not the request's business
            logger.warning(
                "%d HTTP requests came by, and none was a %s to %s: nothing is captured of them. Seen were, among "
                "others: %s. Correct routes= of ShadowTap.",
                *(self.seen.value, " or ".join(METHODS), ", ".join(self._given), ", ".join(self._unmatched)),
            )

    def _matches(self, path: str, root_path: str) -> bool:
        known = self._known.get((path, root_path))
        if known is None:
            known = any(self._pattern.fullmatch(one.rstrip("/") or "/") for one in _readings(path, root_path))
            if len(self._known) < MAX_KNOWN:
                self._known[path, root_path] = known
        return known

    def _miss(self, method: str, path: str) -> None:
        if len(self._unmatched) < _SHOWN:
            self._unmatched[f"{method} {path[:100]!r}"] = None
        if self.matched.value:
            self._told = True  # there is nothing to tell any more
        elif self.seen.value >= MANY_UNMATCHED:
            self.tell()


def _readings(path: str, root_path: str) -> Iterator[str]:
    """What one may call a path: as it is, without one prefix or more of those in `root_path`, or with all of them.

    >>> list(_readings("/api/v2/predict", "/api/v2")), list(_readings("/predict", "/api"))
    (['/api/v2/predict', '/v2/predict', '/predict'], ['/predict', '/api/predict'])
    """
    yield path
    prefix = root_path.strip("/")
    if not prefix:
        return
    parts, segments = prefix.split("/"), path.lstrip("/").split("/")
    if segments[: len(parts)] != parts:
        yield f"/{prefix}{path}"
        return
    for cut in range(1, len(parts) + 1):
        yield "/" + "/".join(segments[cut:])


def _as_pattern(route: object) -> str:
    """A route as a regular expression: `{name}` and `<name>` are one part of a path, `*` and `{name:path}` any number.

    >>> _as_pattern("models/{name}/predict/")
    '/models/[^/]+/predict'
    """
    if not isinstance(route, str) or not route or re.search(r"\s|://|\?|#", route):
        raise SettingsError(f"A route is a path such as /predict or /models/{{name}}/predict, not {route!r}.")
    pattern, at = "", 0
    path = "/" + route.strip("/")
    for found in _PARAMETER.finditer(path):
        pattern += re.escape(path[at : found.start()]) + (".*" if any(found.groups()) else "[^/]+")
        at = found.end()
    return pattern + re.escape(path[at:])
