"""Answers compared by a function of the user's own, named in the settings as `package.module:function`.

The function takes two answers, the live one first, and returns whether they agree, or that and their distance:
`True`, `(False, 0.3)`, `None` where they cannot be compared. It is never asked about null. A label is put in the live
one's place; the distance to it is the loss. It may raise: then that pair cannot be compared, and everything goes on. It
runs in the worker, so what it prints, keeps or waits for is the worker's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from shadowbus.compare.pairwise import Pair, Pairwise
from shadowbus.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Custom(Pairwise):
    """Compares answers by a function.

    Attributes:
        task: `package.module:function`.
        function: That function.

    >>> Custom("operator:eq", lambda one, other: (one == other, abs(one - other))).compare([1], [None], [3], [None])
    ([False], [2.0])
    """

    measure = "custom"
    task: str
    function: Callable[[object, object], object]

    def pair(self, one: object, other: object) -> Pair:
        """What the function says."""
        if one is None or other is None:
            return None, None
        try:
            found = self.function(one, other)
            same, distance = found if isinstance(found, tuple) else (found, None)
            agree = None if same is None else bool(same)
            apart = None if distance is None else float(distance)
        except Exception:
            return None, None
        return agree, apart if apart is not None and 0 <= apart < math.inf else None


def custom(task: str) -> Custom:
    """The comparator for a function that is named.

    Raises:
        SettingsError: There is no such function.
    """
    module, _, name = task.partition(":")
    try:
        function = getattr(import_module(module), name)
    except Exception as error:
        raise SettingsError(f"The comparator {task} cannot be imported: {type(error).__name__}: {error}.") from error
    if not callable(function):
        raise SettingsError(f"The comparator {task} is no function.")
    return Custom(task, function)
