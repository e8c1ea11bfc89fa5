"""Python's collector of reference cycles, told how this work makes garbage."""

import gc


def calm_the_collector() -> None:
    """Look for reference cycles seldom: batches make many objects and no cycles, and a full pass stops everything."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
