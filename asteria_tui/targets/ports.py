"""The five ports of a server, checked before the start: TorchServe itself tells late or wrongly.

It reports a taken HTTP port after some seconds and a taken gRPC port after the HTTP ports are open, both with exit
status 0 (docs/torchserve.md section 6, "Start failures"); meanwhile the other server answers there.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Collection

from asteria_tui.errors import TargetError
from asteria_tui.process import port_owner
from asteria_tui.targets.server_config import Ports


def claim_ports(wanted: Ports, own: Ports | None = None, lost: Collection[int] = ()) -> Ports:
    """The ports to use, each 0 replaced by a free one; raises TargetError naming port, pid and program.

    `own` are those of the server that is to be replaced, `lost` those of one without a record: they are free for its
    successor.
    """
    taken = []
    given_back = {*lost, *(own.items().values() if own else ())}
    held: list[socket.socket] = []
    chosen: dict[str, int] = {}
    try:
        for name, port in wanted.items().items():
            if port in given_back:
                chosen[name] = port
                continue
            try:
                holder = _bound(port)
            except OSError as error:
                taken.append(_why(name, port, error))
                continue
            held.append(holder)
            chosen[name] = holder.getsockname()[1]
    finally:
        for holder in held:
            holder.close()
    if taken:
        raise TargetError(
            "a port is taken" if len(taken) == 1 else "ports are taken",
            detail="\n".join(taken),
            hint="end that program, or choose other ports under [server] in asteria.toml; 0 takes a free one",
        )
    return Ports(**chosen)


def _bound(port: int) -> socket.socket:
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As Java does on POSIX: connections that are only winding down do not count as taken.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
        holder.listen(1)
    except OSError:
        holder.close()
        raise
    return holder


def _why(name: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{port_owner(port)} ({name}_port)"
    return f"port {port} ({name}_port): {error.strerror}"
