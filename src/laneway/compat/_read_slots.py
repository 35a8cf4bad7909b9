"""A child program: what extension modules declare, read by calling their init functions. Standard library only.

Run as `python -I -S _read_slots.py RESULTS_FD`; on standard input a `repr` of the search path, then one of
`[path, module name]` a line. Calling
`PyInit_x` of a multi-phase module only returns its definition; a single-phase module runs, and may do anything. One
`repr` of a dict a line is written: first that a file is begun, so that a crash can be put down to it.
"""

import ctypes
import os
import sys
from ast import literal_eval

__all__: list[str] = []

_HEAD = object.__basicsize__
_WORD = ctypes.sizeof(ctypes.c_void_p)
_SLOTS_AT = _HEAD + 3 * _WORD + 4 * _WORD
"""`PyModuleDef.m_slots`: after the object's head, init, index, copy, name, doc, size and methods."""
_INTERPRETERS = (3, 86)
"""`Py_mod_multiple_interpreters`; the second number is 3.15's."""
_GIL = (4, 87)
_NESTED = (92, 94)
"""`Py_slot_subslots` and `Py_mod_slots` of 3.15 point at more slots."""
_MOST_SLOTS = 200
_SUPPORT = {0: "not-supported", 1: "shared-gil", 2: "per-interpreter-gil"}


def _symbols(name: str) -> tuple[str, str]:
    """The names of the init functions, by PEP 489 and PEP 793."""
    last = name.rpartition(".")[2]
    if last == "__init__":
        last = name.rpartition(".")[0].rpartition(".")[2]
    if last.isascii():
        return f"PyModExport_{last}", f"PyInit_{last}"
    coded = last.encode("punycode").decode("ascii").replace("-", "_")
    return f"PyModExportU_{coded}", f"PyInitU_{coded}"


def _walk(address: int, found: dict[str, str]) -> None:
    for index in range(_MOST_SLOTS):
        at = address + index * 2 * _WORD
        number = ctypes.c_uint16.from_address(at).value
        value = ctypes.c_size_t.from_address(at + _WORD).value
        if number == 0:
            return
        if number in _INTERPRETERS:
            found["interpreters"] = _SUPPORT.get(value, "not-supported")
        elif number in _GIL:
            found["gil"] = "not-used" if value == 1 else "used"
        elif number in _NESTED and value:
            _walk(value, found)


def _slots(path: str, name: str) -> dict[str, str]:
    found = {"initialisation": "", "interpreters": "undeclared", "gil": "undeclared", "reason": ""}
    try:
        library = ctypes.PyDLL(path)
    except OSError as error:
        return {**found, "initialisation": "unreadable", "reason": str(error)[:300]}
    export, init = (getattr(library, symbol, None) for symbol in _symbols(name))
    if export is not None and sys.version_info >= (3, 15):
        export.restype = ctypes.c_void_p
        address = export()
        if address:
            _walk(address, found)
            return {**found, "initialisation": "multi-phase"}
    if init is None:
        return {**found, "initialisation": "not-an-extension"}
    init.restype = ctypes.c_void_p  # a definition comes as a borrowed reference: it must not be let go of
    try:
        made = ctypes.cast(init(), ctypes.py_object).value
    except Exception as error:  # noqa: BLE001 - only code that runs can raise: it is not multi-phase
        reason = f"its init raised {type(error).__name__}: {error}"[:300]
        return {**found, "initialisation": "single-phase", "reason": reason}
    if type(made).__name__ != "moduledef":
        return {**found, "initialisation": "single-phase"}
    address = ctypes.c_size_t.from_address(id(made) + _SLOTS_AT).value
    if address:
        _walk(address, found)
    return {**found, "initialisation": "multi-phase"}


def _main() -> None:
    results = int(sys.argv[1])
    mine = os.getpid()
    search_path, *lines = sys.stdin.read().splitlines()
    sys.path[:] = literal_eval(search_path)
    for line in lines:
        path, name = literal_eval(line)
        os.write(results, (repr({"begun": path}) + "\n").encode())
        found = _slots(path, name)
        if os.getpid() != mine:
            os._exit(0)
        os.write(results, (repr({"path": path, **found}) + "\n").encode())
    os.write(results, (repr({"finished": True}) + "\n").encode())
    os._exit(0)  # what foreign code left behind must not run at exit


_main()
