"""An event loop for one exchange, which can be given up at any point, and leaves nothing open.

The system's own look-up takes as long as it takes and cannot be ended. Here it runs in a thread that nobody waits for,
neither at the deadline nor when the process ends, and there are only so many of these at once.
"""

import asyncio
import contextlib
import socket
import threading
from typing import Any

MOST_AT_ONCE = 16
_free = threading.BoundedSemaphore(MOST_AT_ONCE)


class Loop(asyncio.SelectorEventLoop):
    """As every other loop, but for names, and that its connections are closed with it."""

    def __init__(self) -> None:
        super().__init__()
        self._opened: list[asyncio.BaseTransport] = []

    async def create_connection(self, *where: Any, **wanted: Any) -> Any:
        """Connect, as every loop does."""
        connection = await super().create_connection(*where, **wanted)
        self._opened.append(connection[0])
        return connection

    def close(self) -> None:
        """Close what is open: a handshake that was given up leaves its connection behind."""
        for transport in self._opened:
            if isinstance(transport, asyncio.WriteTransport):
                transport.abort()
        if self._opened and not self.is_closed():
            self.run_until_complete(asyncio.sleep(0))
        super().close()

    async def getaddrinfo(self, host: Any, port: Any, **wanted: Any) -> Any:
        """The addresses of a name.

        Raises:
            OSError: There is no such name, or too many other look-ups hang.
        """
        if not _free.acquire(blocking=False):
            raise OSError(f"{MOST_AT_ONCE} look-ups of names hang already")
        answer: asyncio.Future[Any] = self.create_future()
        threading.Thread(target=self._look, args=(answer, host, port, wanted), name="look-up", daemon=True).start()
        return await answer

    def _look(self, answer: "asyncio.Future[Any]", host: Any, port: Any, wanted: dict[str, Any]) -> None:
        try:
            found, error = socket.getaddrinfo(host, port, **wanted), None
        except (OSError, UnicodeError) as raised:
            found, error = [], raised
        finally:
            _free.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed: the time was over
            self.call_soon_threadsafe(_settle, answer, found, error)


def _settle(answer: "asyncio.Future[Any]", found: Any, error: Exception | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(found)
    else:
        answer.set_exception(error)
