"""The processes of a run, and which of them have ended: the errors of torch's libraries do not say it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from torch import distributed

Peer = tuple[str, int]
"""The machine and the number of a process."""


def list_peers() -> list[Peer]:
    """Return the processes of the process group by rank."""
    peers: list[Peer | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(peers, (socket.gethostname(), os.getpid()))
    return [peer for peer in peers if peer is not None]


def find_ended(peers: list[Peer]) -> list[int]:
    """Return the ranks on this machine whose processes have ended."""
    here = socket.gethostname()
    return [rank for rank, (host, number) in enumerate(peers) if host == here and not _is_alive(number)]


def _is_alive(number: int) -> bool:
    """Return whether a process runs; one that has ended is there until the launcher has noticed."""
    try:
        os.kill(number, 0)
        status = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except OSError:  # of another user, or a system without /proc
        return True
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
