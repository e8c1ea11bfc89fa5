"""Where a model's process begins: it is cut off from the network before anything of others is imported.

Afterwards is too late: a process that has threads, and numerical libraries start some when they are imported, can no
longer leave its namespaces. It leaves two: the network, so that a model that writes to a database does not do so twice
for each request, and the users, which on Linux also keeps it from reading the memory and the environment of its worker.
"""

import contextlib
import ctypes
import os
import socket
import struct
import sys
from pathlib import Path

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def cut_off() -> str:
    """Leave the network for one of this process's own, in which there is nothing but itself.

    Returns:
        Why that was not possible, or nothing.
    """
    if sys.platform != "linux":
        return f"{sys.platform} has no way to take it"
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        return f"this system does not allow it: {os.strerror(ctypes.get_errno())}"
    with contextlib.suppress(OSError):  # without a name it goes on as nobody, which changes no right
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with contextlib.suppress(OSError):  # what a library says to itself over localhost still gets there
        _bring_up("lo")
    return ""


def _bring_up(interface: str) -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", interface.encode(), _IFF_UP))


def main() -> None:
    """Cut off the network unless `--network` is given, then keep a model; with `--try`, only say why that fails."""
    if "--try" in sys.argv:
        sys.stdout.write(cut_off())
        return
    reason = "" if "--network" in sys.argv else cut_off()
    from shadowbus.replay.model.child.server import main as serve_model

    serve_model(sys.argv[1:], reason)


if __name__ == "__main__":
    main()
