"""When do two values name the same class, although one comes from a model and the other from a database?

In: any JSON value. Out: its class as one canonical text, or None when it names no class. Values name the same class
exactly when their canonical texts are equal:

- Numbers are equal by value: `3`, `3.0` and the texts "3" and "3.0" are one class. Identifiers that merely look like
  numbers are not: "03", "+3" and "1e3" stay the texts they are.
- Truth values are the numbers they stand for: `true`, `1`, "true", "True", "1" are one class; `false`, `0`, "False"
  another. A model trained on 0 and 1 and a database column of truth values mean the same event.
- Other texts are equal when they are equal without the spaces around them; capital letters matter.
- A list (of a model with several outputs) is equal when its members are, in order.
- Names that the settings call the same (`same_class`) are one class.
- null, objects, and numbers that are not finite name no class.

>>> class_name(3.0), class_name("3"), class_name(True), class_name("true"), class_name("03"), class_name(None)
('3', '3', '1', '1', '03', None)
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})\.[0-9]{1,15}")
_TRUTH = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}


def class_name(value: object) -> str | None:
    """The canonical text of the class that a value names, or None when it names none; never raises."""
    if isinstance(value, str):
        return _from_text(value.strip())
    if isinstance(value, int):  # also True and False
        return str(int(value)) if -_EXACT < value < _EXACT else hex(value)
    if isinstance(value, float):
        return _from_float(value)
    if isinstance(value, list | tuple):
        return _from_list(value)
    return None


def classes_of(names: object) -> dict[str, str]:
    """A table of the settings, `{name = class}`, by classes' canonical texts; empty where it is no such table."""
    if not isinstance(names, Mapping):
        return {}
    pairs = ((class_name(name), class_name(value)) for name, value in names.items())
    return {name: value for name, value in pairs if name is not None and value is not None}


_EXACT = 2**63
"""Beyond what any model's class is, Python refuses to write an integer in decimal at some length; hex has no limit."""


@lru_cache(1024)
def _from_text(text: str) -> str:
    if text in _TRUTH:
        return _TRUTH[text]
    if _INTEGER.fullmatch(text):
        return str(int(text))
    return str(_from_float(float(text))) if _DECIMAL.fullmatch(text) else text


def _from_float(value: float) -> str | None:
    if not math.isfinite(value):
        return None
    if not value.is_integer():
        return repr(value)
    return class_name(int(value))


def _from_list(values: list[object] | tuple[object, ...]) -> str | None:
    names: list[str] = []
    for value in values:
        # A list in a list is no model's answer, and without end it would exhaust the stack.
        name = None if isinstance(value, list | tuple) else class_name(value)
        if name is None:
            return None
        names.append(name)
    return repr(names)
