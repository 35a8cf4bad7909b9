"""Probing one distribution: what its extension modules declare, and what really happens when it is imported."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from laneway._core.compat import Extension, FreeThreaded, Import, Layer, Probe, Refusal, refuses
from laneway.compat._children import Limits, Told, run_child
from laneway.compat._mentions import mentions_in
from laneway.compat._smoke import INSTEAD, SMOKE
from laneway.compat.distributions import Installed

__all__ = ["PROBER", "Where", "probe", "probe_free_threaded", "read_extensions", "try_imports"]

PROBER = 4
"""Version of the prober: what it found is kept for as long as this number stands."""

type Place = Literal["main", "isolated"]

_MOST_EACH = 40
_STANDARD = "the standard library"


class Where(NamedTuple):
    """The interpreter to probe with and what its search path is."""

    interpreter: str
    path: tuple[str, ...]
    build: str
    """Version and build, such as `cpython-3.14.10-x86_64-linux-gnu`."""
    owners: Mapping[str, str]
    """For each native file, absolute, the distribution it belongs to."""
    limits: Limits = Limits()


def probe(one: Installed, where: Where, *, deep: bool = False) -> Probe:
    """Find out about one distribution by importing its code in disposable processes. Never raises for what it does."""
    began = time.monotonic()
    paths = [(f"{one.root}/{file.path}", file.module) for file in one.extensions]
    extensions = tuple(read_extensions(paths, where, relative_to=one.root))
    real = tuple(found for found in extensions if found.initialisation != "not-an-extension")
    tops = _tops(one, where)
    if not tops:
        return Probe(one.name, one.version, where.build, extensions=real, seconds=_since(began))
    smoke = SMOKE.get(one.name, "")
    top = try_imports(tops, where, rounds=3 if deep else 2, smoke=smoke)
    control = None if top.works else try_imports(tops, where, place="main", smoke=smoke)
    if control is not None and not control.works and len(tops) > 1:
        rest = _without_broken(tops, where)
        if rest and len(rest) < len(tops):  # what fails everywhere says nothing about interpreters
            tops, top = rest, try_imports(rest, where, rounds=3 if deep else 2, smoke=smoke)
            control = None if top.works else try_imports(rest, where, place="main", smoke=smoke)
    loads_not = [found.module for found in real if refuses(found)]
    mentions = mentions_in(one.root, one.files, loads_not) if top.works and loads_not and not smoke else []
    declared = [found.module for found in real if found.interpreters == "per-interpreter-gil"]
    each: list[Import] = []
    layers: list[Layer] = []
    if top.works:
        each = _each(one, [name for name in declared if name not in top.loaded or deep], where)
    if deep and top.works:
        layers = _layers(one, where, smoke)
    memory = max(item.memory_kib for item in (top, control or top, *each))
    return Probe(
        one.name,
        one.version,
        where.build,
        tops,
        real,
        top,
        control,
        tuple(each),
        tuple(mentions),
        tuple(layers),
        seconds=_since(began),
        memory_kib=memory,
        level="deep" if deep else "normal",
    )


def _tops(one: Installed, where: Where) -> tuple[str, ...]:
    """What to import; of an editable installation, which lists no files, what has its name."""
    if one.name in INSTEAD:
        return INSTEAD[one.name]
    if one.tops or not one.is_editable:
        return one.tops
    guess = one.name.replace("-", "_")
    there = any(Path(entry, name).exists() for entry in where.path for name in (guess, f"{guess}.py"))
    return (guess,) if there else ()


def _without_broken(tops: tuple[str, ...], where: Where) -> tuple[str, ...]:
    told = _told(tops, where, place="main", tolerant=True)
    broken = {line["broken"] for line in told.lines if "broken" in line}
    return tuple(one for one in tops if one not in broken) if not told.ended else ()


def probe_free_threaded(one: Installed, where: Where, *, elsewhere: bool) -> FreeThreaded:
    """What importing it does on a free-threaded build. `elsewhere`: the build with a GIL has extension modules."""
    top = try_imports(one.tops, where, place="main", smoke=SMOKE.get(one.name, "")) if one.tops else None
    return FreeThreaded(
        where.build, top, ", ".join(one.tags), "", len(one.extensions), is_native_elsewhere=elsewhere
    )


def read_extensions(
    paths: Sequence[tuple[str, str]], where: Where, *, relative_to: str = ""
) -> list[Extension]:
    """What the extension modules in these files declare. One that ends the child is blamed; the rest are read on."""
    found: list[Extension] = []
    waiting: list[tuple[str, str]] = list(paths)
    while waiting:
        order = "".join(f"{one!r}\n" for one in (list(where.path), *([path, name] for path, name in waiting)))
        told = run_child(where.interpreter, "_read_slots.py", order, where.limits)
        read = {line["path"]: line for line in told.lines if "path" in line}
        names = dict(waiting)
        found += [
            _extension(names[path], path, line, relative_to) for path, line in read.items() if path in names
        ]
        waiting = [(path, module) for path, module in waiting if path not in read]
        if waiting:
            begun = [line["begun"] for line in told.lines if "begun" in line]
            guilty = begun[-1] if begun and begun[-1] not in read else waiting[0][0]
            ended = told.ended or "exit: it ended the process"
            found.append(_extension(names[guilty], guilty, {"initialisation": ended}, relative_to))
            waiting = [(path, module) for path, module in waiting if path != guilty]
    return sorted(found, key=lambda one: one.file)


def _extension(module: str, path: str, line: Mapping[str, Any], relative_to: str) -> Extension:
    return Extension(
        module,
        path.removeprefix(f"{relative_to}/") if relative_to else path,
        line["initialisation"],
        line.get("interpreters", "undeclared"),
        line.get("gil", "undeclared"),
        line.get("reason", ""),
    )


def try_imports(
    modules: Sequence[str],
    where: Where,
    *,
    place: Place = "isolated",
    rounds: int = 1,
    smoke: str = "",
    threads: int = 0,
    loops: int = 0,
    keep: bool = True,
) -> Import:
    """Import modules in one disposable process and tell how that went; see `_try_imports`."""
    told = _told(
        modules, where, place=place, rounds=rounds, smoke=smoke, threads=threads, loops=loops, keep=keep
    )
    return _import(told, tuple(modules), place, where, bool(smoke))


def _told(
    modules: Sequence[str],
    where: Where,
    *,
    place: Place,
    rounds: int = 1,
    smoke: str = "",
    threads: int = 0,
    loops: int = 0,
    keep: bool = True,
    tolerant: bool = False,
    compare: Sequence[str] = (),
) -> Told:
    order = {
        "modules": list(modules),
        "path": list(where.path),
        "place": place,
        "rounds": rounds,
        "smoke": smoke,
        "threads": threads,
        "loops": loops,
        "keep": keep,
        "tolerant": tolerant,
        "deep": bool(compare),
        "compare": list(compare),
    }
    return run_child(where.interpreter, "_try_imports.py", repr(order), where.limits)


def _import(told: Told, modules: tuple[str, ...], place: Place, where: Where, smoke: bool) -> Import:
    done = [line for line in told.lines if "done" in line]
    failed = next((line for line in done if line["kind"]), None)
    last = failed or (done[-1] if done else {})
    refused = {
        (name, file): Refusal(name, file, kind, text, _owner(file, where))
        for line in done
        for name, file, kind, text in line["refused"]
    }
    at = last.get("at", "")
    if told.ended:
        at = next((line["importing"] for line in reversed(told.lines) if "importing" in line), "")
    loaded = dict.fromkeys(name for line in done for name, _ in line["loaded"])
    ended = told.ended
    if ended.startswith("exit") and told.words:
        ended = f"{ended} ({told.words.splitlines()[-1][:120]})"
    return Import(
        modules,
        place,
        sum(1 for line in done if not line["kind"]),
        last.get("kind", ""),
        last.get("text", ""),
        at,
        ended,
        tuple(refused.values()),
        tuple(loaded),
        tuple(dict.fromkeys(name for line in done for name in line["gil"])),
        is_gil_on=any(line["on"] for line in done) if done else True,
        forked=any("forked" in line for line in told.lines),
        smoke=smoke,
        seconds=round(told.seconds, 3),
        memory_kib=max((line.get("memory_kib", 0) for line in told.lines), default=0),
    )


def _owner(file: str, where: Where) -> str:
    owner = where.owners.get(file, "")
    if not owner and not any(
        file.startswith(f"{entry}/") for entry in where.path if "site-packages" in entry
    ):
        return _STANDARD if "/lib-dynload/" in file else ""
    return owner


def _each(one: Installed, declared: Sequence[str], where: Where) -> list[Import]:
    """Modules that declare support, each alone in fresh interpreters; what fails in the main one too does not count."""
    found: list[Import] = []
    for module in declared[:_MOST_EACH]:
        tried = try_imports([module], where, rounds=2)
        control = tried if tried.works or tried.refused else try_imports([module], where, place="main")
        if control.works or control.ended or tried.refused:
            found.append(tried)
    return found


def _layers(one: Installed, where: Where, smoke: str) -> list[Layer]:
    submodules = _submodules(one)
    layers = [_submodule_layer(one, submodules, where)]
    for name, options in (
        ("import and destroy", {"rounds": 5, "keep": False}),
        ("three interpreters", {"rounds": 3}),
        ("four threads, five loads each", {"threads": 4, "loops": 5}),
    ):
        tried = try_imports(one.tops, where, smoke=smoke, **options)  # type: ignore[arg-type]  # counts and a flag
        said = tried.ended or (f"{tried.kind}: {tried.text}" if tried.kind else "")
        layers.append(Layer(name, len(one.tops), said, tried.seconds))
    return [*layers, _shared_objects(one, where)]


def _submodules(one: Installed) -> list[str]:
    files = [path for path in one.files if path.endswith(".py") and not path.endswith("__main__.py")]
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in files]
    tests = ("test", "tests", "testing", "conftest", "setup", "_test", "benchmarks")
    return [
        name
        for name in names
        if all(part.isidentifier() for part in name.split("."))
        and not any(part in tests or part.startswith("test_") for part in name.split("."))
    ]


def _submodule_layer(one: Installed, submodules: Sequence[str], where: Where) -> Layer:
    """Every submodule that the main interpreter can import must be importable in an isolated one."""
    began = time.monotonic()
    waiting, problems = list(submodules), list[str]()
    while waiting and len(problems) < 3 and time.monotonic() - began < where.limits.seconds * 2:
        tried = try_imports(waiting, where)
        if tried.works or tried.at not in waiting:
            break
        control = try_imports([tried.at], where, place="main")
        if control.works:
            said = tried.ended or f"{tried.kind}: {tried.text}"
            problems.append(f"{tried.at}: {said}")
        waiting = waiting[waiting.index(tried.at) + 1 :]
    return Layer("every submodule", len(submodules), "; ".join(problems), _since(began))


def _shared_objects(one: Installed, where: Where) -> Layer:
    """Mutable objects of extension modules that two live interpreters both hold: state leaks from one to the other."""
    compare = [*one.tops, *(file.module for file in one.extensions if file.module not in one.tops)]
    told = _told(one.tops, where, place="isolated", rounds=2, compare=compare)
    rounds = [{name: (a, b) for name, a, b in line["ids"]} for line in told.lines if "done" in line]
    same: list[str] = []
    if len(rounds) == 2:
        same = [name for name, ids in rounds[0].items() if rounds[1].get(name) == ids]
    problem = f"two interpreters share {', '.join(same[:3])}" if same else ""
    return Layer("object ids", len(compare), problem, told.seconds)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
