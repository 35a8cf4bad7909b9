"""Lending a buffer to tasks in interpreters of the same process, without a copy. Standard library only."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["borrowed", "lent"]

type Reference = dict[str, int | bool]


@contextmanager
def lent(buffer: bytes | bytearray | memoryview) -> Generator[Reference]:
    """A reference to `buffer` that can be part of an order's input, valid until the block ends.

    Tasks open it with `borrowed`. Only the interpreter lane with `placement="inline"` can: other workers have another
    address space, and `borrowed` says so there. What tasks write is seen here when the buffer is writable.
    """
    import ctypes  # noqa: PLC0415 - workers import this module, and most lend nothing

    view = memoryview(buffer).cast("B")
    if view.readonly:
        owner = ctypes.py_object(view.obj)
        address = ctypes.cast(_bytes_address(owner), ctypes.c_void_p).value or 0
    else:
        holder = (ctypes.c_char * view.nbytes).from_buffer(view)
        address = ctypes.addressof(holder)
        del holder
    try:
        yield {"process": os.getpid(), "address": address, "size": view.nbytes, "readonly": view.readonly}
    finally:
        view.release()


def _bytes_address(owner: Any) -> Any:
    import ctypes  # noqa: PLC0415 - as above

    if not isinstance(owner.value, bytes):
        raise TypeError("a read-only buffer can be lent only if it is bytes")
    as_string = ctypes.pythonapi.PyBytes_AsString
    as_string.argtypes = (ctypes.py_object,)
    as_string.restype = ctypes.c_void_p
    return as_string(owner.value)


def borrowed(reference: Reference) -> memoryview:
    """The buffer that the program lent, as a memoryview. Do not keep it beyond the task.

    Raises:
        ValueError: it was lent in another process.
    """
    import ctypes  # noqa: PLC0415 - as above

    if reference["process"] != os.getpid():
        raise ValueError(
            "a lent buffer can only be borrowed in the process that lent it: use Fleet(placement='inline'), "
            "or pass an artifact"
        )
    kind: Any = ctypes.c_char * int(reference["size"])
    view = memoryview(kind.from_address(int(reference["address"]))).cast("B")
    return view.toreadonly() if reference["readonly"] else view
