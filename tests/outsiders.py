"""Outside parties that misbehave on a real socket, each in its own way, until they are closed."""

import contextlib
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Manners = Callable[[socket.socket, threading.Event], None]
DRIP_S = 0.05
FLOOD = b"x" * 65_536


def _head(status: str = "503 Busy", *more: str) -> bytes:
    return "\r\n".join((f"HTTP/1.1 {status}", *more, "", "")).encode()


def silent(_: socket.socket, stop: threading.Event) -> None:
    stop.wait()


def drips_its_head(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 503 Busy\r\nX-Slow: ")
    while not stop.wait(DRIP_S):
        peer.sendall(b"x")


def endless_head(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while not stop.is_set():
        peer.sendall(b"X-More: " + b"y" * 1000 + b"\r\n")


def endless_head_line(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nX-More: ")
    while not stop.is_set():
        peer.sendall(FLOOD)


def ever_more_to_come(peer: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        peer.sendall(_head("103 Early Hints") * 500)


def drips(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(_head("503 Busy", "Content-Length: 1000000"))
    while not stop.wait(DRIP_S):
        peer.sendall(b"z")


def floods(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(_head("503 Busy", "Content-Length: 900000000000"))
    while not stop.is_set():
        peer.sendall(FLOOD)


def floods_in_chunks(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(_head("503 Busy", "Transfer-Encoding: chunked"))
    while not stop.is_set():
        peer.sendall(b"10000\r\n" + FLOOD + b"\r\n")


def floods_without_length(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(b"HTTP/1.0 503 Busy\r\n\r\n")
    while not stop.is_set():
        peer.sendall(FLOOD)


def bomb(peer: socket.socket, stop: threading.Event) -> None:
    packing = zlib.compressobj(1, wbits=31)  # gzip, made in pieces, as the test's own memory is what is measured
    packed = b"".join(packing.compress(bytes(1 << 20)) for _ in range(64)) + packing.flush()
    peer.sendall(_head("503 Busy", "Content-Encoding: gzip", f"Content-Length: {len(packed)}") + packed)
    stop.wait()


def good_news_without_end(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(_head("200 OK", "Transfer-Encoding: chunked"))
    while not stop.is_set():
        peer.sendall(b"10000\r\n" + FLOOD + b"\r\n")


def nonsense(peer: socket.socket, stop: threading.Event) -> None:
    peer.sendall(b"\x16\x03\x01" * 200)


def hangs_up(peer: socket.socket, stop: threading.Event) -> None:
    del peer, stop


OUTSIDERS: tuple[Manners, ...] = (
    silent,
    drips_its_head,
    endless_head,
    endless_head_line,
    ever_more_to_come,
    drips,
    floods,
    floods_in_chunks,
    floods_without_length,
    bomb,
    good_news_without_end,
    nonsense,
    hangs_up,
)


@contextmanager
def outsider(manners: Manners, *, reads: bool = True) -> Iterator[int]:
    """Listens; yields the port. Unless it `reads`, not even the request is taken."""
    stop = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    serving: list[threading.Thread] = []

    def serve(peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError):
            if reads:
                peer.recv(65_536)
            manners(peer, stop)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listening.accept()
                serving.append(threading.Thread(target=serve, args=(peer,), daemon=True))
                serving[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listening.getsockname()[1]
    finally:
        stop.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        accepting.join()
        for one in serving:
            one.join(10)
