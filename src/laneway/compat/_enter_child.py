"""A child program's first steps: limits, then no network, then the program named. Standard library only.

Run as `python -I -S _enter_child.py PROGRAM RESULTS_FD SECONDS MEMORY_BYTES`.
"""

import contextlib
import os
import resource
import signal
import sys

__all__: list[str] = []


def _limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, hard))


def _cut_off_network() -> None:
    """A network namespace of its own, where the system allows it. A courtesy of the probe, not a security measure."""
    user, group = os.getuid(), os.getgid()
    try:
        if user == 0:
            os.unshare(os.CLONE_NEWNET)
            return
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    except AttributeError, OSError:
        return
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with contextlib.suppress(OSError), open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _main() -> None:
    program, results, seconds, memory = sys.argv[1:5]
    with contextlib.suppress(ValueError, OSError):
        _limit(resource.RLIMIT_DATA, int(memory))
    with contextlib.suppress(ValueError, OSError):
        _limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(seconds) + 2)  # the program that started this one may be gone by then
    _cut_off_network()
    with open(program, encoding="utf-8") as file:
        source = file.read()
    sys.argv = [program, results]
    exec(compile(source, program, "exec"), {"__name__": "__main__", "__builtins__": __builtins__})


_main()
