"""Whatever a service has at hand, as plain values: objects, lists, text, numbers, true, false, null, as JSON has them.

Nothing is written before it is known to be small enough, and nothing endless is read to its end. docs/capture.md has
the table of what becomes of what, which a test holds against this package. Where a value has no plain form, that is
said; nothing is guessed, and nothing is cut.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from shadowbus.capture.kinds import UnwritableError, converter_of
from shadowbus.clock import monotonic, worked

MAX_DEPTH = 100
MOST_WORK_SECONDS = 0.05
MOST_SECONDS = 1.0
"""What is not plain is read for so long, of processor time and in all: an object of the service's that makes up its
content may have no end. The second is far longer, since a busy machine takes the processor away for a while."""

_LOOK_EVERY = 64

SCALARS = frozenset({str, int, float, bool, type(None)})

_MAX_KNOWN = 500
_NAMES = {None: "null", True: "true", False: "false"}
_converters: dict[type, Callable[[Any, Any], object]] = {}

Item = TypeVar("Item")


class TooLargeError(ValueError):
    """There is more in this value than a record may hold, or reading it takes too long."""


def plain(value: Any, most: int) -> Any:
    """The value in plain form; the value itself, uncopied, where it is plain already.

    Args:
        value: Anything.
        most: Bytes that it may take as JSON. What takes many more is found out by its size, before it is read.

    Raises:
        UnwritableError: It has no plain form.
        TooLargeError: It is larger, or takes longer to read than `MOST_WORK_SECONDS` or `MOST_SECONDS`.
    """
    kind = type(value)
    if kind is str:
        if len(value) > most:
            raise TooLargeError
    elif kind not in SCALARS and not (kind is dict and is_flat(value, most)):
        return _Reading(most).read(value, 0)
    return value


def is_flat(value: dict[Any, Any], most: int) -> bool:
    """Whether this is an object of plain scalars, as most requests are: the quick way to know that nothing is to do.

    Raises:
        TooLargeError: It is larger.
    """
    size = len(value)
    if size <= most:
        for name, part in value.items():
            if type(name) is not str:
                return False
            size += len(name)
            kind = type(part)
            if kind is str:
                size += len(part)
            elif kind is not float and kind not in SCALARS:
                return False
    if size > most:
        raise TooLargeError
    return True


class _Reading:
    """One value as it is read. `_left` is how much more it may hold: each part counts for the least it can take."""

    __slots__ = ("_deadline", "_left", "_looks", "_work_until")

    def __init__(self, most: int) -> None:
        self._left = most
        self._looks = 0
        self._deadline = monotonic() + MOST_SECONDS
        self._work_until = 0.0

    def read(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is str:
            self.take(len(value))
            return value
        if kind in SCALARS:
            return value
        if depth > MAX_DEPTH:
            raise UnwritableError(f"a value is nested more than {MAX_DEPTH} deep")
        self._look()
        if kind is dict:
            return self._object(value, depth)
        if kind is list or kind is tuple:
            return self._list(value, depth)
        return self.read(self._converted(value, kind), depth + 1)

    def take(self, size: int) -> None:
        """Count what will be read."""
        self._left -= size
        if self._left < 0:
            raise TooLargeError

    def room(self, size: int) -> None:
        """Go on only if so much may still be read."""
        if size > self._left:
            raise TooLargeError

    def limited(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, unless there are more than may still be read, or they take too long."""
        for number, item in enumerate(items):
            self._look()
            if number > self._left:
                raise TooLargeError
            yield item

    def _look(self) -> None:
        """At the clocks: at that of the processor, which costs more, now and then."""
        if monotonic() > self._deadline:
            raise TooLargeError
        self._looks += 1
        if self._looks % _LOOK_EVERY == 0:
            now = worked()
            self._work_until = self._work_until or now + MOST_WORK_SECONDS
            if now > self._work_until:
                raise TooLargeError

    def _list(self, value: Sequence[Any], depth: int) -> Any:
        self.take(len(value))
        kinds = set(map(type, value))
        if not kinds <= SCALARS:
            return [self.read(one, depth + 1) for one in value]
        if str in kinds:
            self.take(sum(len(one) for one in value if type(one) is str))
        return value

    def _object(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        self.take(len(value))
        found: dict[str, Any] = {}
        for name, part in value.items():
            text = name if type(name) is str else self._name(name)
            self.take(len(text))
            found[text] = self.read(part, depth + 1)
        if len(found) < len(value):
            raise UnwritableError("two names are the same as text")
        return found

    def _name(self, name: Any) -> str:
        found = name if type(name) in SCALARS else self._converted(name, type(name))
        if type(found) is str:
            return found
        if type(found) is bool or found is None:
            return _NAMES[found]
        if type(found) in SCALARS:
            return repr(found)
        raise UnwritableError(f"{type(name).__name__} cannot be a name")

    def _converted(self, value: Any, kind: type) -> object:
        convert = _converters.get(kind)
        try:
            if convert is None:
                convert = converter_of(kind)
                if len(_converters) < _MAX_KNOWN:
                    _converters[kind] = convert
            return convert(value, self)
        except (UnwritableError, TooLargeError):
            raise
        except BaseException as error:  # code of the service's own: see asking.py
            raise UnwritableError(f"{kind.__name__} cannot be read: {type(error).__name__}") from None
