"""The review's rules on state shared by threads: what functions do to a module's variables (FT201 to FT205, FT208)."""

import ast

from laneway.compat.review_patterns import (
    MUTATORS,
    checked_name,
    is_snapshot,
    iterated_name,
    kind_of,
    lazy_targets,
    reads,
    stores_into,
    stores_unlocked,
)
from laneway.compat.review_walk import Handler, Scope, Walk, chain_of

__all__ = ["SharedStateReview"]

type Event = tuple[str, str, ast.AST, Scope, bool, bool]
"""Kind, variable, node, scope, lock held, and whether the code is one of a script's own."""

_FIX = "hold a lock around it"


class SharedStateReview:
    """Collects what functions do to names during the walk; decides afterwards which are shared and unprotected."""

    def __init__(self) -> None:
        self.report: list[tuple[str, ast.AST, str, str]] = []
        self._mutable: dict[str, tuple[str, ast.AST]] = {}
        self._events: list[Event] = []
        self._calls: dict[str, list[tuple[Scope, bool]]] = {}
        self._fetched: dict[tuple[Scope, str], str] = {}
        self._judged: set[int] = set()

    def handlers(self) -> dict[type[ast.AST], list[Handler]]:
        """What to call for which node."""
        return {
            ast.Assign: [self._assign],
            ast.AnnAssign: [self._assign],
            ast.AugAssign: [self._augment],
            ast.Delete: [self._delete],
            ast.Call: [self._call],
            ast.Name: [self._load],
            ast.If: [self._if],
            ast.Try: [self._try],
            ast.For: [self._iterate],
            ast.comprehension: [self._iterate],
            ast.FunctionDef: [self._body],
        }

    def finish(self) -> list[tuple[str, ast.AST, str, str]]:
        """The findings of the walk that has ended."""
        live = [event for event in self._events if self._is_live(event)]
        changed: dict[str, list[Event]] = {}
        for event in live:
            if event[0] in ("mutate", "element", "check") and event[1] in self._mutable:
                changed.setdefault(event[1], []).append(event)
        seen: set[tuple[str, int]] = set()
        stronger: set[str] = set()
        for kind, name, node, scope, _locked, _main in live:
            found = self._finding(kind, name, scope, changed)
            if found is not None and (found[0], getattr(node, "lineno", 0)) not in seen:
                seen.add((found[0], getattr(node, "lineno", 0)))
                stronger.add(name)
                self.report.append((found[0], node, found[1], found[2]))
        for name, events in changed.items():
            if name not in stronger and self._is_worth_a_note(events):
                kind, node = self._mutable[name]
                functions = sorted({_label(event[3]) for event in events})
                shown = ", ".join(functions[:3]) + (
                    f" and {len(functions) - 3} more" if len(functions) > 3 else ""
                )
                message = f"module-level {kind} {name} is changed without a lock in {shown}"
                self.report.append(
                    ("FT201", node, message, "guard it with a lock, or pass it as an argument")
                )
        return self.report

    def _is_live(self, event: Event) -> bool:
        _kind, name, _node, scope, locked, main = event
        function = scope.function()
        if locked or main or function is None or not scope.is_global(name):
            return False
        return function.name != "main" and not self._is_protected(function)

    def _is_protected(self, function: Scope) -> bool:
        """True for a private function that is only called while importing, or only with a lock held."""
        if not function.name.startswith("_") or function.name.startswith("__"):
            return False
        calls = self._calls.get(function.name, [])
        if not calls:
            return False
        return all(locked or scope.function() is None for scope, locked in calls)

    def _finding(
        self, kind: str, name: str, scope: Scope, changed: dict[str, list[Event]]
    ) -> tuple[str, str, str] | None:
        where = _label(scope)
        if kind == "lazy":
            fix = "create it under a lock, at import, or in a function with functools.cache"
            return "FT202", f"global {name} is created on first use in {where} without a lock", fix
        if kind == "count":
            fix = f"{_FIX}, or use itertools.count"
            return "FT203", f"global {name} is read, changed and written back in {where} without a lock", fix
        if name not in self._mutable:
            return None
        shared = self._mutable[name][0]
        if kind == "check" and shared != "list":
            fix = f"{_FIX}, use setdefault, or functools.cache"
            return (
                "FT204",
                f"shared {shared} {name} is checked and then changed in {where} without a lock",
                fix,
            )
        if kind == "element":
            return (
                "FT205",
                f"an element of the shared {shared} {name} is changed in place in {where} without a lock",
                _FIX,
            )
        if kind == "iterate" and shared != "list":
            others = [event for event in changed.get(name, ()) if event[3].function() is not scope.function()]
            if others:
                who = _label(others[0][3])
                message = f"iterates over the shared {shared} {name}, which {who} changes without a lock"
                return "FT208", message, f"iterate over list({name}), or {_FIX}"
        return None

    def _is_worth_a_note(self, events: list[Event]) -> bool:
        """Single appends and stores are atomic even without the GIL: a note only if there is more than one kind."""
        verbs = {_verb(event[2]) for event in events}
        return len(verbs) > 1 and bool(
            verbs & {"clear", "pop", "popitem", "remove", "del", "slice", "sort", "insert"}
        )

    def _record(self, kind: str, name: str, node: ast.AST, walk: Walk, locked: bool | None = None) -> None:
        if walk.scope.function() is None:
            return
        held = walk.locked or _has_acquired(walk.scope)
        self._events.append(
            (kind, name, node, walk.scope, held if locked is None else locked, walk.main_guard)
        )

    def _assign(self, node: ast.AST, walk: Walk) -> None:
        assert isinstance(node, ast.Assign | ast.AnnAssign)
        if node.value is None:
            return
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if type(target) is ast.Name:
                self._assign_name(target.id, node.value, node, walk)
            elif type(target) is ast.Subscript and type(target.value) is ast.Name:
                name = target.value.id
                fetched = reads(node.value, name, arithmetic=True)
                self._record("element" if fetched else "mutate", name, node, walk)

    def _assign_name(self, name: str, value: ast.expr, node: ast.AST, walk: Walk) -> None:
        if walk.scope.kind == "module":
            kind = kind_of(value)
            if kind is not None:
                self._mutable.setdefault(name, (kind, node))
        elif name in walk.scope.globals:
            if reads(value, name, arithmetic=True) and id(node) not in self._judged:
                self._record("count", name, node, walk)
        elif type(value) is ast.Call:
            chain = chain_of(value.func)
            if chain is not None and len(chain) == 2 and chain[1] == "get":
                self._fetched[walk.scope, name] = chain[0]

    def _augment(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.AugAssign
        target = node.target
        if type(target) is ast.Name and target.id in walk.scope.globals:
            self._record("count", target.id, node, walk)
        elif type(target) is ast.Subscript and type(target.value) is ast.Name:
            self._record("element", target.value.id, node, walk)

    def _delete(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Delete
        for target in node.targets:
            if type(target) is ast.Subscript and type(target.value) is ast.Name:
                self._record("mutate", target.value.id, node, walk)

    def _call(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Call
        function = node.func
        if type(function) is ast.Attribute and type(function.value) is ast.Name and function.attr in MUTATORS:
            self._record("mutate", function.value.id, node, walk)

    def _load(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Name
        if type(node.ctx) is ast.Load:
            held = walk.locked or _has_acquired(walk.scope)
            self._calls.setdefault(node.id, []).append((walk.scope, held))

    def _if(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.If
        if walk.scope.kind != "function" or walk.locked:
            return
        name, absent = checked_name(node.test)
        if name is None:
            return
        branch = node.body if absent else node.orelse
        container = self._fetched.get((walk.scope, name), name)
        if name in walk.scope.globals:
            self._lazy(name, branch, walk)
        if stores_into(branch, container):
            self._record("check", container, node, walk)

    def _try(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Try
        if walk.scope.kind != "function" or walk.locked or len(node.body) != 1:
            return
        for handler in node.handlers:
            if type(handler.type) is not ast.Name or handler.type.id not in ("KeyError", "LookupError"):
                continue
            statement = node.body[0]
            if isinstance(statement, ast.Return | ast.Assign) and type(statement.value) is ast.Subscript:
                owner = statement.value.value
                if type(owner) is ast.Name and stores_into(handler.body, owner.id):
                    self._record("check", owner.id, node, walk)

    def _body(self, node: ast.AST, walk: Walk) -> None:
        """`if X is not None: return X` and then `X = ...`: lazy creation in its other spelling."""
        assert type(node) is ast.FunctionDef
        for index, statement in enumerate(node.body):
            if (
                type(statement) is not ast.If
                or statement.orelse
                or type(statement.body[-1]) is not ast.Return
            ):
                continue
            name, absent = checked_name(statement.test)
            if name is None or absent:
                continue
            rest = node.body[index + 1 :]
            declared = any(type(one) is ast.Global and name in one.names for one in node.body)
            for target in lazy_targets(rest, name) if declared else ():
                self._judged.add(id(target))
                scope = Scope("function", node.name, node, walk.scope)
                scope.globals.add(name)
                self._events.append(("lazy", name, target, scope, walk.locked, walk.main_guard))
            if stores_into(rest, name) and not declared:
                scope = Scope("function", node.name, node, walk.scope)
                scope.bound.update(_local_names(node))
                self._events.append(("check", name, statement, scope, walk.locked, walk.main_guard))

    def _lazy(self, name: str, branch: list[ast.stmt], walk: Walk) -> None:
        for target in lazy_targets(branch, name):
            self._judged.add(id(target))
            self._record("lazy", name, target, walk)
        if not lazy_targets(branch, name) and stores_unlocked(branch, name):
            self._judged.update(id(one) for one in stores_unlocked(branch, name))

    def _iterate(self, node: ast.AST, walk: Walk) -> None:
        assert isinstance(node, ast.For | ast.comprehension)
        name = iterated_name(node.iter)
        if name is not None and not is_snapshot(node.iter) and walk.scope.kind == "function":
            self._record("iterate", name, node.iter, walk)


def _has_acquired(scope: Scope) -> bool:
    function = scope.function()
    return function is not None and function.acquired


def _local_names(function: ast.FunctionDef) -> set[str]:
    found = {one.arg for one in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
    for node in ast.walk(function):
        if type(node) is ast.Name and type(node.ctx) is ast.Store:
            found.add(node.id)
    return found


def _label(scope: Scope) -> str:
    function = scope.function()
    if function is None:
        return "the module"
    owner = function.parent.name if function.parent is not None and function.parent.kind == "class" else ""
    return f"{owner}.{function.name}()" if owner else f"{function.name}()"


def _verb(node: ast.AST) -> str:
    if type(node) is ast.Call and type(node.func) is ast.Attribute:
        return node.func.attr
    if type(node) is ast.Delete:
        return "del"
    if type(node) is ast.Assign and any(
        type(one) is ast.Subscript and type(one.slice) is ast.Slice for one in node.targets
    ):
        return "slice"
    return "store"
