"""Ports for servers that are started, stopped and started again."""

import random
import socket
from pathlib import Path

__all__ = ["free_port"]

_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
_chance = random.SystemRandom()  # other sources are seeded alike in all of the processes that test


def free_port() -> int:
    """A port that nobody has, from below those that the system gives to outgoing connections.

    One of those could be taken by any client while the server starts or is away, even by one that tries to reach it.
    """
    first = int(_OUTGOING.read_text().split()[0]) if _OUTGOING.exists() else 32768
    while True:
        port = _chance.randrange(first // 2, first) if first > 8192 else 0
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
