"""Inside a worker process: limits that the operating system enforces. Standard library only."""

# The values of strangers have no types to know.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import ctypes
import os
import resource
import struct
import sys

from laneway._core.untyped import Any, Iterable
from laneway.lanes._seccomp import filtered

__all__ = ["confine", "cpu_left", "limit_process"]

_NO_NEW_PRIVILEGES = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Landlock's system calls have these numbers on every architecture."""

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_REMOVE_DIR, _REMOVE_FILE, _MAKE = 16, 32, 64 | 128 | 256 | 512 | 1024 | 2048 | 4096
_REFER, _TRUNCATE, _DEVICE = 8192, 16384, 32768
_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE
_BIND, _CONNECT = 1, 2
_SCOPES = 3
"""Abstract UNIX sockets and signals to processes outside."""

_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/usr/share/locale", "/etc/ld.so.cache",
    "/etc/localtime", "/etc/timezone", "/dev/null", "/dev/zero", "/dev/random", "/dev/urandom", "/proc/self",
)  # fmt: skip
_NETWORK_FILES = (
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ssl",
    "/etc/gai.conf",
    "/run/systemd/resolve",
)


def limit_process(limits: dict[str, Any]) -> None:
    """Apply memory and open files to this process; core dumps are off. CPU time is set for each attempt."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = limits.get("memory_mib")
    if memory is not None:
        used = _address_space()
        _lower(resource.RLIMIT_AS, used + int(memory) * 1024 * 1024)
    files = limits.get("open_files")
    if files is not None:
        _lower(resource.RLIMIT_NOFILE, len(os.listdir("/proc/self/fd")) + int(files))


def cpu_left(seconds: float | None) -> None:
    """Give the attempt that starts now so much CPU time; when it is used up the kernel ends the process."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if seconds is None:
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(usage.ru_utime + usage.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _lower(what: int, wanted: int) -> None:
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(what, (wanted, wanted))


def _address_space() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def confine(
    policy: dict[str, Any], roots: Iterable[str], artifacts: dict[str, Any] | None = None
) -> list[str]:
    """Let the kernel enforce the policy on this process and its children, as far as this kernel can.

    Returns:
        What is enforced: `no-new-privileges`, `seccomp`, `landlock-files`, `landlock-network`, `landlock-scope`.
    """
    if not sys.platform.startswith("linux"):
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return []
    enforced = ["no-new-privileges"]
    if filtered(libc, programs=bool(policy.get("subprocess")), network=bool(policy.get("network"))):
        enforced.append("seccomp")
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return enforced
    read, write = policy.get("filesystem.read", False), policy.get("filesystem.write", False)
    programs, network = policy.get("subprocess", False), policy.get("network", False)
    writes = _WRITE | (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0)
    handled = (_READ if read is not True else 0) | (writes if write is not True else 0)
    handled |= _EXECUTE if not programs else 0
    ports = (_BIND | _CONNECT) if abi >= 4 and not network else 0
    scopes = _SCOPES if abi >= 6 else 0
    ruleset = _ruleset(libc, handled, ports, scopes, abi)
    if ruleset < 0:
        return enforced
    try:
        readable = [
            *roots,
            *_SYSTEM,
            *(_NETWORK_FILES if network else ()),
            *(read if isinstance(read, tuple | list) else ()),
        ]
        if programs:  # starting is not handled then, but the program must be readable
            readable += ["/bin", "/usr/bin", "/usr/local/bin"]
        for path in readable:
            _allow(libc, ruleset, path, _READ & handled)
        if artifacts is not None:  # any by its hash, none by looking around
            _allow(libc, ruleset, artifacts["objects"], _READ_FILE & handled)
            _allow(libc, ruleset, artifacts["staging"], (_READ | writes) & handled)
        for path in [*(write if isinstance(write, tuple | list) else ()), "/dev/null"]:
            _allow(libc, ruleset, path, (_READ | writes) & handled)
        if libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0:
            enforced += ["landlock-files"] if handled else []
            enforced += ["landlock-network"] if ports else []
            enforced += ["landlock-scope"] if scopes else []
    finally:
        os.close(ruleset)
    return enforced


def _ruleset(libc: Any, files: int, ports: int, scopes: int, abi: int) -> int:
    attributes = struct.pack("=QQQ", files, ports, scopes)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    return int(libc.syscall(_CREATE_RULESET, attributes[:size], ctypes.c_size_t(size), 0))


def _allow(libc: Any, ruleset: int, path: str, rights: int) -> None:
    if not rights:
        return
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _READ_FILE | _WRITE_FILE | _EXECUTE | _TRUNCATE
        libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, fd), 0)
    finally:
        os.close(fd)
