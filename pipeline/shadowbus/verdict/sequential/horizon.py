"""How long until a question is decided, and what counts have to be like."""

from collections.abc import Callable


def needed(trials: int, decided: Callable[[float], bool], most: int = 10**9) -> int | None:
    """How many more trials until a question is decided, if everything goes on in the present proportions.

    Args:
        trials: How many there are.
        decided: Whether so many trials in all would decide it. In fixed proportions every wealth here is an average of
            exponentials of the trials, hence convex: once it has won enough it stays so, and bisection is exact.
        most: Where to stop looking.

    Returns:
        The smallest number of additional trials, or None when even `most` trials would not do.

    >>> needed(1_000, lambda trials: trials >= 3_402)
    2402
    """
    undecided, enough = trials, max(1, trials)
    while not decided(enough):
        undecided, enough = enough, 2 * enough
        if undecided >= most:
            return None
    while enough - undecided > 1:
        middle = (undecided + enough) // 2
        if decided(middle):
            enough = middle
        else:
            undecided = middle
    return enough - trials


def check(count: float, others: float, alpha: float) -> None:
    """Refuse counts that contradict each other and an alpha that promises nothing.

    Raises:
        ValueError: A negative count, or not `0 < alpha < 1`.
    """
    if not (count >= 0 and others >= 0 and 0.0 < alpha < 1.0):
        raise ValueError("Counts must not be negative, a part not above its whole, and alpha between 0 and 1.")
