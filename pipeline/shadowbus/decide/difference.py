"""Where two records that should be the same differ first, in words. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

LONGEST = 80
DIGITS = 9
"""How many digits of a number are shown, and compared: intervals end within a billionth of their size."""

_ABSENT = object()


def first_difference(said: bytes, again: bytes) -> str:
    """The first field in which a record differs from what it should be, and both values.

    Args:
        said: The record as it is.
        again: What it should be.

    >>> first_difference(b'{"requests":5,"labels":1}', b'{"requests":5,"labels":2}')
    "'labels' is 1 in the record and 2 by the topics"
    """
    found = _between("", orjson.loads(said), orjson.loads(again))
    if found is None:
        return "the same is said in other bytes, so it was written by something else"
    path, left, right = found
    return f"'{path}' is {_text(left)} in the record and {_text(right)} by the topics"


def same_as_shown(said: bytes, again: bytes) -> bool:
    """Whether two records say the same to as many digits as are shown.

    What exponentials and logarithms are worth in the last bit depends on the processor and the build of numpy.

    >>> same_as_shown(b'{"low":0.12345678912}', b'{"low":0.12345678913}')
    True
    >>> same_as_shown(b'{"low":0.1234567}', b'{"low":0.1234568}')
    False
    """
    return bool(_shown(orjson.loads(said)) == _shown(orjson.loads(again)))


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return [(name, _shown(one)) for name, one in value.items()]
    if isinstance(value, list):
        return [_shown(one) for one in value]
    return f"{value:.{DIGITS - 1}e}" if isinstance(value, float) else value


def _between(path: str, said: Any, again: Any) -> tuple[str, Any, Any] | None:
    if isinstance(said, Mapping) and isinstance(again, Mapping):
        keys = [*said, *(key for key in again if key not in said)]
        pairs = [(f"{path}.{key}".lstrip("."), said.get(key, _ABSENT), again.get(key, _ABSENT)) for key in keys]
    elif isinstance(said, list) and isinstance(again, list):
        longest = max(len(said), len(again))
        both = ([*one, *[_ABSENT] * (longest - len(one))] for one in (said, again))
        pairs = [(f"{path}[{place}]", left, right) for place, (left, right) in enumerate(zip(*both, strict=True))]
    else:
        return None if said == again and type(said) is type(again) else (path, said, again)
    return next((found for pair in pairs if (found := _between(*pair)) is not None), None)


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    text = orjson.dumps(value).decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
