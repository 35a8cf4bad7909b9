"""Inside a worker process: a filter that has the kernel refuse system calls which the policy has no use for.

What Landlock cannot do: no sockets at all where no network is allowed (UDP, local sockets, netlink), no new processes
where no program may be started, no looking into other processes, and no ways around (io_uring, namespaces). Standard
library only. The numbers are from the kernel's tables, see seccomp(2).
"""

import ctypes
import os
import struct

from laneway._core.untyped import Any

__all__ = ["filtered"]

_SET_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _REFUSE, _UNKNOWN = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38
"""What a filter may answer: go on, fail with EPERM, fail with ENOSYS."""
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_NEW_THREAD = 0x00010000
_X32 = 0x40000000

_OTHERS = ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp")
"""Other processes of the same user."""
_KERNEL = (
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "keyctl",
    "add_key", "request_key", "open_by_handle_at", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot",
)  # fmt: skip
"""What no task needs, and what does other calls' work unseen."""
_ROOMS = (
    "unshare", "setns", "chroot", "pivot_root", "mount", "umount2", "open_tree", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr",
)  # fmt: skip
"""Another view of the file system. Programs that a package may start, such as browsers, use some of them."""
_PROGRAMS = ("execve", "execveat", "fork", "vfork")
_NETWORK = ("socket",)
"""Pairs of connected sockets, which event loops need, are another call."""

_NEWER = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "clone3": 435, "pidfd_getfd": 438,
    "mount_setattr": 442,
}  # fmt: skip
"""Calls that have one number everywhere."""
_MACHINES: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "seccomp": 317, "socket": 41, "execve": 59, "execveat": 322, "fork": 57, "vfork": 58, "clone": 56,
            "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "bpf": 321,
            "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248, "request_key": 249,
            "open_by_handle_at": 304, "init_module": 175, "finit_module": 313, "delete_module": 176,
            "kexec_load": 246, "kexec_file_load": 320, "reboot": 169, "unshare": 272, "setns": 308, "chroot": 161,
            "pivot_root": 155, "mount": 165, "umount2": 166,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "seccomp": 277, "socket": 198, "execve": 221, "execveat": 281, "clone": 220, "ptrace": 117,
            "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "bpf": 280, "perf_event_open": 241,
            "userfaultfd": 282, "keyctl": 219, "add_key": 217, "request_key": 218, "open_by_handle_at": 265,
            "init_module": 105, "finit_module": 273, "delete_module": 106, "kexec_load": 104,
            "kexec_file_load": 294, "reboot": 142, "unshare": 97, "setns": 268, "chroot": 51, "pivot_root": 41,
            "mount": 40, "umount2": 39,
        },
    ),
}  # fmt: skip


def filtered(libc: Any, *, programs: bool, network: bool) -> bool:
    """Install the filter for all threads of this process, for good. It must have given up new privileges before.

    Args:
        libc: the C library.
        programs: whether anything may be started.
        network: whether any socket may be made.

    Returns:
        False where this machine's calls are unknown or its kernel has no filters.
    """
    known = _MACHINES.get(os.uname().machine)
    if known is None or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    architecture, numbers = known[0], {**_NEWER, **known[1]}
    refused = (
        *_OTHERS,
        *_KERNEL,
        *(() if network else _NETWORK),
        *(() if programs else (*_PROGRAMS, *_ROOMS)),
    )
    steps = _program(architecture, numbers, refused, programs=programs)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    whole = struct.pack("@HxxxxxxQ", len(steps), ctypes.addressof(code))
    return int(libc.syscall(numbers["seccomp"], _SET_FILTER, _ALL_THREADS, whole)) == 0


def _program(
    architecture: int, numbers: dict[str, int], refused: tuple[str, ...], *, programs: bool
) -> list[tuple[int, int, int, int]]:
    """Steps of (operation, jump if so, jump if not, value)."""
    refuse = (_RETURN, 0, 0, _REFUSE)
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, architecture),
        refuse,
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 0, 1, _X32),
        refuse,
    ]
    for name in refused:
        if name in numbers:
            steps += [(_EQUAL, 0, 1, numbers[name]), refuse]
    if not programs:  # threads are made by the same call: what is asked for stands in its first argument
        steps += [
            (_EQUAL, 0, 1, numbers["clone3"]),
            (_RETURN, 0, 0, _UNKNOWN),  # its arguments cannot be seen; the C library then takes clone
            (_EQUAL, 0, 3, numbers["clone"]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT_AT),
            (_ANY_BIT, 1, 0, _NEW_THREAD),
            refuse,
        ]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]
