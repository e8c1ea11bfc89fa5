"""How many pages there may be: each holds some 3 MB in this process until its viewer is gone, or never came."""

from collections.abc import Sequence

from nicegui import Client

MOST_OF_ONE = 40
"""Pages for one address; behind a proxy that is everybody."""
MOST = 120


def make_room(address: str) -> bool:
    """Whether one more page may be built; those that no browser shows make room, the oldest first."""
    pages = sorted(Client.instances.values(), key=lambda page: page.created)
    own = [page for page in pages if page.ip == address]
    return _fits(own, MOST_OF_ONE) and _fits([page for page in pages if not page.is_deleted], MOST)


def _fits(pages: Sequence[Client], most: int) -> bool:
    excess = len(pages) + 1 - most
    unseen = [page for page in pages if not page.has_socket_connection]
    for page in unseen[: max(0, excess)]:
        page.delete()
    return excess <= len(unseen)
