"""What the kernel refuses on the process lane to native code, which the audit hook cannot see."""

import errno
import os
from pathlib import Path

import pytest
from tests.unit.lanes.conftest import Bench, MakePackage
from tests.unit.lanes.test_fleet import host_pids

SOURCE = """
    import asyncio, ctypes, os, socket, subprocess, threading
    from laneway import task

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long

    def said(result):
        return 0 if result >= 0 else ctypes.get_errno()

    @task
    def datagram(): return said(libc.socket(socket.AF_INET, socket.SOCK_DGRAM, 0))

    @task
    def local_socket(): return said(libc.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0))

    @task
    def child():
        pid = libc.fork()
        if pid == 0:
            os._exit(0)
        return said(pid)

    @task
    def program():
        words = (ctypes.c_char_p * 2)(b"/bin/true", None)
        return said(libc.execve(b"/bin/true", words, words))

    @task
    def looks_into_the_engine(pid): return said(libc.ptrace(16, pid, None, None))

    @task
    def ring(): return said(libc.syscall(425, 1, ctypes.create_string_buffer(120)))

    @task
    def room(): return said(libc.unshare(0x10000000))

    @task
    def thread():
        found = []
        thread = threading.Thread(target=found.append, args=(1,))
        thread.start()
        thread.join()
        return found

    @task
    def waits(): return asyncio.run(asyncio.to_thread(lambda: "waited"))

    @task
    def runs(): return subprocess.run(["/bin/echo", "ran"], capture_output=True, text=True, check=True).stdout
"""
NATIVE = {"native": True, "threads": True}
REFUSED = {
    "datagram": {},
    "local_socket": {},
    "child": {},
    "program": {},
    "looks_into_the_engine": {"pid": os.getpid()},
    "ring": {},
    "room": {},
}


@pytest.mark.parametrize("name", list(REFUSED))
async def test_native_code_is_refused_by_the_kernel(bench: Bench, package: MakePackage, name: str) -> None:
    unit = package("native", SOURCE, policy=NATIVE)
    assert await bench.value("process", unit, name, **REFUSED[name]) == errno.EPERM


async def test_filter_holds_for_the_process_and_leaves_threads_and_coroutines(
    bench: Bench, package: MakePackage
) -> None:
    unit = package("native", SOURCE, policy=NATIVE)
    assert await bench.value("process", unit, "thread") == [1]
    assert await bench.value("process", unit, "waits") == "waited"
    (pid,) = host_pids(bench.fleet)
    for thread in Path(f"/proc/{pid}/task").iterdir():
        status = dict(line.split(":\t", 1) for line in (thread / "status").read_text().splitlines())
        assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")


async def test_what_the_policy_allows_passes_the_filter(bench: Bench, package: MakePackage) -> None:
    unit = package("native", SOURCE, policy={**NATIVE, "network": True, "subprocess": True})
    for name in ("datagram", "local_socket", "child"):
        assert await bench.value("process", unit, name) == 0
    assert await bench.value("process", unit, "runs") == "ran\n"
    for name in ("ring", "looks_into_the_engine"):
        assert await bench.value("process", unit, name, **REFUSED[name]) == errno.EPERM
