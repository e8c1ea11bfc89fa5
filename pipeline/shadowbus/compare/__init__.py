"""One comparator per kind of answer: do they agree, and who was right?

`comparator.py` is the contract, `registry.py` the list of kinds.
"""

from shadowbus.compare.comparator import Comparator, Judged, Scores
from shadowbus.compare.registry import TASKS, Comparators, make_comparator

__all__ = ["TASKS", "Comparator", "Comparators", "Judged", "Scores", "make_comparator"]
