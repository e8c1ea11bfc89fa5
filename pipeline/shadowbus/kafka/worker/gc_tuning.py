"""Tunes Python's cycle collector for batch work: many objects, hardly any reference cycles."""

import gc


def calm_the_collector() -> None:
    """Collect cycles seldom: a full pass over all objects stops everything, and finds next to nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


def let_go_of_clients() -> None:
    """Collect cycles now, after clients have failed.

    An error refers to the frames that it came through, and so to their clients, each with threads and connections. A
    cycle of those would stay for ever, as a full pass never comes by itself.
    """
    gc.collect()
