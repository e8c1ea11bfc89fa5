"""The bytes and the text of a file, unpacked, before anybody reads rows from them."""

import codecs
import contextlib
import gzip
import importlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from shadowbus.errors import SettingsError, ShadowbusError

MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
"""What files may begin with that says their encoding."""


@contextlib.contextmanager
def open_lines(path: Path) -> Iterator[IO[bytes]]:
    """What is in a file of lines, to look into it.

    Raises:
        ShadowbusError: It is not there or cannot be read.
    """
    try:
        with path.open("rb") as plain:
            yield unpacked(plain, path.suffix)
    except (OSError, EOFError, UnicodeError) as error:
        raise unreadable(path, error) from error


def unpacked(plain: IO[bytes], suffix: str) -> IO[bytes]:
    """The bytes of an open file whose suffix may say that it is packed."""
    if suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(plain))
    if suffix.lower() == ".zst":
        pyarrow: Any = importlib.import_module("pyarrow")
        return io.BufferedReader(pyarrow.CompressedInputStream(plain, "zstd"), 1 << 20)
    return plain


def as_text(unpacked: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """The text of a file, by what it begins with where nothing is said."""
    buffered = with_peek(unpacked)
    begins = buffered.peek(3)[:3] if not encoding else b""
    found = next((name for mark, name in MARKS.items() if begins.startswith(mark)), "utf-8")
    return io.TextIOWrapper(buffered, encoding=encoding or found, newline="")


def with_peek(unpacked: IO[bytes]) -> io.BufferedReader:
    """The same, where what comes next can be looked at."""
    return cast(
        "io.BufferedReader", unpacked if hasattr(unpacked, "peek") else io.BufferedReader(cast("Any", unpacked))
    )


def unreadable_text(path: Path, error: Exception) -> ShadowbusError:
    """What to say of text that cannot be read."""
    if isinstance(error, UnicodeError):
        wrong = f" ({error.object[error.start : error.start + 1]!r})" if isinstance(error, UnicodeDecodeError) else ""
        return SettingsError(
            f"{path} holds bytes that are no UTF-8{wrong}: set 'backtest.encoding', as \"windows-1252\" for what Excel "
            'writes in Western Europe, or "utf-16".'
        )
    return unreadable(path, error)


def unreadable(path: Path, error: Exception) -> ShadowbusError:
    """What to say of a file that cannot be read."""
    return ShadowbusError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.")
