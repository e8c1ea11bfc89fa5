"""One `shadowbus up` of a namespace on a machine: a second would fence the first, and be fenced by it, for ever.

A file of this user's is locked for as long as the block runs. The kernel lets go of the lock when the process ends, by
`kill -9` too; children do not inherit it.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from shadowbus.cli.console import tell
from shadowbus.errors import ShadowbusError
from shadowbus.settings import Settings


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the lock of this namespace at these servers.

    Raises:
        ShadowbusError: Another process of this user's holds it.
    """
    with contextlib.ExitStack() as opened:
        try:
            descriptor = _open(_lock_file(settings))
        except OSError as error:
            tell(f"Nobody keeps watch that only one `shadowbus up` runs here: {error}")
        else:
            opened.callback(os.close, descriptor)
            _lock(descriptor, settings.namespace)
        yield


def _lock_file(settings: Settings) -> Path:
    """The same for the same namespace at the same servers, in whatever order they are named."""
    servers = str(settings.kafka_for("admin").get("bootstrap.servers", ""))
    known = sorted(
        server.strip().rpartition("://")[2].replace("localhost:", "127.0.0.1:") for server in servers.split(",")
    )
    name = hashlib.sha256("\n".join([settings.namespace, *known]).encode()).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"shadowbus-{os.getuid()}" / f"up-{name}.lock"


def _open(path: Path) -> int:
    """Open the file, in a folder that is this user's and nobody else's."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    found = path.parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise PermissionError(f"{path.parent} is not a folder of this user's")
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _lock(descriptor: int, namespace: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        by = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        raise ShadowbusError(
            f"`shadowbus up` runs {namespace} on this machine already{f' (process {by})' if by else ''}: end that "
            "first, or give it more processes with `up --workers N`."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
