"""Bodies of HTTP messages as they passed by: bounded copies, unpacked and read as JSON.

Packed bodies (`content-encoding`) are unpacked up to the same bound: gzip and deflate always, br and zstd with the
module that the service has loaded for it. What is nearly JSON is read as Python's own reader does: with a byte order
mark, in UTF-16, with NaN and Infinity. All else is no JSON, and is said to be none: a form's fields are texts, and
which of them are numbers is known to the service alone.
"""

import json
import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from shadowbus.capture.asking import NoAnswerError, asked

Header = tuple[bytes, bytes]


class ExtractionError(ValueError):
    """The bodies do not hold a request and its prediction."""


class BodyTooLargeError(ValueError):
    """A body that is larger than its bound, as it came or unpacked."""


class Body:
    """A copy of a body, chunk by chunk, given up for good when it grows over its bound."""

    __slots__ = ("_chunks", "_limit", "_size", "complete", "too_large")

    def __init__(self, limit: int) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._limit = limit
        self.too_large = False
        self.complete = False

    def add(self, chunk: bytes, more: bool) -> None:
        """Keep one chunk (copied: a server may use its buffer again)."""
        self.complete = not more
        self._size += len(chunk)
        if self._size > self._limit:
            self.too_large = True
            self._chunks.clear()
        else:
            self._chunks.append(bytes(chunk))

    def parsed(self, headers: Iterable[Header]) -> Any:
        """The body as JSON.

        Raises:
            BodyTooLargeError: It is too large, as it came or unpacked.
            ExtractionError: It is not JSON, is packed in a way that is not known here, or did not pass by as a whole.
        """
        if self.too_large:
            raise BodyTooLargeError
        if not self.complete:
            raise ExtractionError("the body did not pass by as a whole")
        body = b"".join(self._chunks)
        packed = find(headers, b"content-encoding")
        if packed is not None:
            for packing in reversed(packed.decode("latin-1").lower().split(",")):
                body = _unpacked(body, packing.strip(), self._limit)
        return _read(body)


def find(headers: Iterable[Header], name: bytes | None) -> bytes | None:
    """The first header of a name in small letters, if there is one."""
    if name is not None:
        for key, value in headers:
            if key == name or key.lower() == name:
                return value
    return None


def _read(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ExtractionError(f"the body is not JSON: {type(error).__name__}") from None


def _unpacked(body: bytes, packing: str, limit: int) -> bytes:
    unpack = _UNPACKERS.get(packing)
    if unpack is None:
        raise ExtractionError(f"bodies packed as {packing} are not read")
    try:
        unpacked = asked(unpack, body, limit + 1)
    except NoAnswerError as error:
        raise ExtractionError(f"the body is not {packing}: {error}") from None
    if len(unpacked) > limit:
        raise BodyTooLargeError
    return unpacked


def _zlib(window: int) -> Callable[[bytes, int], bytes]:
    return lambda body, most: zlib.decompressobj(window).decompress(body, most)


def _deflate(body: bytes, most: int) -> bytes:
    """With the head that the standard asks for, or without, as many send it."""
    try:
        return _zlib(zlib.MAX_WBITS)(body, most)
    except zlib.error:
        return _zlib(-zlib.MAX_WBITS)(body, most)


def _brotli(body: bytes, most: int) -> bytes:
    unpacking = _loaded("brotli", "brotlicffi").Decompressor()
    return bytes(unpacking.process(body, output_buffer_limit=most))  # older versions, without a bound, are refused


def _zstd(body: bytes, most: int) -> bytes:
    module = _loaded("compression.zstd", "zstandard", "backports.zstd")
    unpacking = module.ZstdDecompressor()
    if not hasattr(unpacking, "stream_reader"):
        return bytes(unpacking.decompress(body, most))
    with unpacking.stream_reader(body) as reader:
        return bytes(reader.read(most))


def _loaded(*names: str) -> Any:
    return next(sys.modules[name] for name in names if name in sys.modules)


_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {
    "": lambda body, _: body,
    "identity": lambda body, _: body,
    "gzip": _zlib(16 + zlib.MAX_WBITS),
    "x-gzip": _zlib(16 + zlib.MAX_WBITS),
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}
