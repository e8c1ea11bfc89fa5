"""Python's collector of reference cycles, told how this work makes garbage."""

import gc


def calm_the_collector() -> None:
    """Look for reference cycles seldom: batches make many objects and no cycles, and a full pass stops everything."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def let_go_of_clients() -> None:
    """Look for cycles now, where clients were used and have failed.

    An error holds the frames it came through, and so the clients in them, each with threads and connections; a cycle
    of those would stay for ever, as a full pass never comes by itself.
    """
    gc.collect()
