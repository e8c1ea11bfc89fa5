"""Which comparator compares which kind of answer.

In: a shadow's `task` and its options from the settings. Out: a comparator. To add a kind of answer, write its
comparator, add a line here, and add it to the contract suite in `tests/unit/test_comparators.py`.
"""

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches

from shadowbus.compare.classification import classification
from shadowbus.compare.comparator import Comparator
from shadowbus.compare.custom import custom
from shadowbus.compare.ranking import ranking
from shadowbus.compare.regression import regression
from shadowbus.compare.structured import structured
from shadowbus.compare.text import text
from shadowbus.compare.vector import vector
from shadowbus.errors import SettingsError

TASKS: dict[str, tuple[Callable[[Mapping[str, object]], Comparator], frozenset[str]]] = {
    "classification": (classification, frozenset({"threshold", "positive", "same_class"})),
    "json": (structured, frozenset({"ignore", "absolute_tolerance", "relative_tolerance"})),
    "ranking": (ranking, frozenset({"top_k", "min_overlap", "persistence"})),
    "regression": (regression, frozenset({"absolute_tolerance", "relative_tolerance"})),
    "text": (text, frozenset({"max_distance", "ignore_case", "ignore_space"})),
    "vector": (vector, frozenset({"min_cosine"})),
}


class Comparators(dict[str, Comparator]):
    """Comparators by shadow. Answers of one that is not in the settings, or no more, are compared as classes.

    >>> usual = Comparators({})
    >>> usual["gone"] is usual["never there"], len(usual)
    (True, 0)
    """

    def __missing__(self, shadow: str) -> Comparator:
        """The one for all others; nothing is kept, as names come from records."""
        return _USUAL


def make_comparator(task: str, options: Mapping[str, object]) -> Comparator:
    """The comparator for a task.

    Args:
        task: The kind of answer, a key of `TASKS`, or the user's own function as `package.module:function`.
        options: The task's own options.

    Raises:
        SettingsError: When there is no such task or option (it names the nearest), or an option's value is not allowed.

    >>> make_comparator("regression", {"absolute_tolerance": 2}).compare([1.0], [None], [2.5], [None])
    ([True], [1.5])
    """
    if ":" in task and not options:
        return custom(task)
    if task not in TASKS:
        raise SettingsError(f"There is no task '{task}'{_nearest(task, TASKS)}.")
    make, known = TASKS[task]
    for option in options:
        if option not in known:
            raise SettingsError(f"The task '{task}' has no option '{option}'{_nearest(option, known)}.")
    return make(options)


_USUAL = make_comparator("classification", {})


def _nearest(word: str, known: Collection[str]) -> str:
    near = get_close_matches(str(word), known, n=1)
    if near:
        return f"; did you mean '{near[0]}'"
    return f"; there are: {', '.join(sorted(known))}" if known else "; it has none"
