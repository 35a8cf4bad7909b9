"""Programs that a command starts and waits for; they end when the command does."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["asked"]


async def asked(command: Sequence[str], given: bytes = b"") -> tuple[int, bytes]:
    """Run a program with that input to its end: its exit status, and what it printed on both streams.

    Cancelling ends it and all that it started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = await process.communicate(given)
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(process.pid, signal.SIGKILL)
                else:
                    process.kill()
            await process.wait()
    return process.returncode or 0, said
