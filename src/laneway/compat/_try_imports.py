"""A child program: imports modules in interpreters and tells everything that was refused. Standard library only.

Run as `python -I -S _try_imports.py RESULTS_FD` with one `repr` of an order on standard input: `modules` (each is
imported in turn), `path` (for `sys.path`), `place` (`main` or `isolated`), `rounds` (interpreters, one after another,
all alive until the end), `smoke` (code to run after the imports), `threads` and `loops` (interpreters at once, each
with that many loads), `keep` (False ends each interpreter before the next), `tolerant` (True goes on after a module
that cannot be imported), `deep` with `compare` (tells the ids of objects in these modules). Writes one `repr` of a
dict a line.
"""

import os
import sys
from ast import literal_eval
from threading import Thread

__all__: list[str] = []

_INSIDE = """
def _probe():
    import _imp, os, sys
    order = {order!r}
    results, mine = order["results"], {pid}
    known, seen, gil = [], [], []
    create = _imp.create_dynamic
    enabled = getattr(sys, "_is_gil_enabled", None)

    def tell(**what):
        if os.getpid() != mine:
            os.write(results, (repr({{"forked": True}}) + "\\n").encode())
            os._exit(0)
        os.write(results, (repr(what) + "\\n").encode())

    def create_dynamic(spec, *rest):
        was = enabled() if enabled is not None else True
        try:
            made = create(spec, *rest)
        except BaseException as error:
            known.append((spec.name, str(spec.origin), type(error).__name__, str(error)[:300]))
            raise
        finally:
            if os.getpid() != mine:
                tell()
        seen.append((spec.name, str(spec.origin)))
        if enabled is not None and enabled() and not was:
            gil.append(spec.name)
        return made

    _imp.create_dynamic = create_dynamic
    sys.path[:] = order["path"]
    sys.argv = ["probe"]
    error = kind = where = text = ""
    try:
        for where in order["modules"]:
            tell(importing=where)
            try:
                __import__(where)
            except Exception as caught:
                if not order["tolerant"]:
                    raise
                tell(broken=where, kind=type(caught).__name__, text=str(caught)[:300])
                continue
            if order["deep"]:
                found = sys.modules.get(where)
                order["ids"].append((where, id(found), id(getattr(found, "__dict__", None))))
        where = ""
        if order["smoke"]:
            where = "smoke"
            tell(importing="smoke")
            exec(order["smoke"], {{"__name__": "smoke"}})
    except BaseException as caught:
        kind, text = type(caught).__name__, str(caught)[:500]
        inner = caught
        while inner.__cause__ is not None or inner.__context__ is not None:
            inner = inner.__cause__ or inner.__context__
            if isinstance(inner, ImportError) and "does not support loading" in str(inner):
                break
        error = getattr(caught, "name", "") or ""
        if inner is not caught:
            text = (text + " (from " + type(inner).__name__ + ": " + str(inner)[:200] + ")")
    if order["deep"] and not kind:
        for name, module in list(sys.modules.items()):
            if name in order["compare"]:
                order["ids"] += [
                    (name + "." + key, id(value), 0)
                    for key, value in list(vars(module).items())
                    if isinstance(value, (type, dict, list, set)) and not key.startswith("__")
                    and (not isinstance(value, type) or value.__flags__ & 0x200)
                ]
    tell(done=order["round"], at=where, kind=kind, text=text, module=error, refused=known, loaded=seen, gil=gil,
         ids=order["ids"], on=bool(enabled()) if enabled is not None else True)

_probe()
"""


def _memory() -> int:
    """The most memory this process has used, in KiB."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def _code(order: dict[str, object], number: int) -> str:
    return _INSIDE.format(order={**order, "round": number, "ids": []}, pid=os.getpid())


def _isolated(order: dict[str, object], number: int, *, keep: list[object] | None) -> None:
    from concurrent import interpreters  # noqa: PLC0415 - imports in the main interpreter do without

    one = interpreters.create()
    try:
        one.exec(_code(order, number))
    except interpreters.ExecutionFailed as failed:
        told = {"done": number, "at": "", "kind": "ExecutionFailed", "text": str(failed)[:500], "module": ""}
        told |= {"refused": [], "loaded": [], "gil": [], "ids": [], "on": True}
        os.write(int(str(order["results"])), (repr(told) + "\n").encode())
    if keep is None:
        one.close()
    else:
        keep.append(one)


def _stress(order: dict[str, object], threads: int, loops: int) -> None:
    def load(first: int) -> None:
        for number in range(loops):
            _isolated(order, first * 1000 + number, keep=None)

    running = [Thread(target=load, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def _main() -> None:
    results = int(sys.argv[1])
    order = literal_eval(sys.stdin.read())
    order["results"] = results
    if order["place"] == "main":
        exec(compile(_code(order, 0), "<probe>", "exec"), {"__name__": "probe"})
    elif order["threads"]:
        _stress(order, order["threads"], order["loops"])
    else:
        alive: list[object] = []
        for number in range(order["rounds"]):
            _isolated(order, number, keep=alive if order["keep"] else None)
    os.write(results, (repr({"finished": True, "memory_kib": _memory()}) + "\n").encode())
    os._exit(0)


_main()
