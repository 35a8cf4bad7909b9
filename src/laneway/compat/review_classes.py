"""The review's rules on objects shared by threads: attributes of instances and classes (FT206, FT207)."""

import ast

from laneway.compat.review_patterns import kind_of, stores_into
from laneway.compat.review_walk import Handler, Scope, Walk, chain_of

__all__ = ["SharedObjectReview"]

_QUIET = frozenset(
    {"__init__", "__new__", "__del__", "__init_subclass__", "__set_name__", "__setstate__", "setUp"}
)


class _Facts:
    """What one class does with its attributes."""

    def __init__(self) -> None:
        self.mutable: dict[str, str] = {}
        self.rebound: set[str] = set()
        self.written_locked: set[str] = set()
        self.targets: set[str] = set()
        self.counts: list[tuple[str, ast.AST, Scope, bool]] = []
        self.writers: dict[str, set[str]] = {}
        self.elements: list[tuple[str, ast.AST, Scope]] = []
        self.calls: dict[str, list[bool]] = {}
        self.is_thread = False


class SharedObjectReview:
    """Collects, class by class, how methods change `self`; decides afterwards what threads share."""

    def __init__(self) -> None:
        self._classes: dict[Scope, _Facts] = {}

    def handlers(self) -> dict[type[ast.AST], list[Handler]]:
        """What to call for which node."""
        return {
            ast.Assign: [self._assign],
            ast.AugAssign: [self._augment],
            ast.Call: [self._call],
            ast.If: [self._if],
        }

    def finish(self) -> list[tuple[str, ast.AST, str, str]]:
        """The findings of the walk that has ended."""
        report: list[tuple[str, ast.AST, str, str]] = []
        for scope, facts in self._classes.items():
            bases = [(chain_of(base) or ("",))[-1] for base in getattr(scope.node, "bases", [])]
            if any(base.endswith("Thread") for base in bases):
                facts.targets.add("run")
            for attribute, node, method, locked in facts.counts:
                reason = (
                    "" if locked or _is_held(facts, method) else _shared_because(facts, attribute, method)
                )
                if reason:
                    message = (
                        f"{scope.name}.{attribute} is changed in {method.name}() without a lock, {reason}"
                    )
                    report.append(("FT206", node, message, "hold the lock around it"))
            for attribute, node, method in facts.elements:
                if (
                    attribute in facts.mutable
                    and attribute not in facts.rebound
                    and not _is_held(facts, method)
                ):
                    shared = facts.mutable[attribute]
                    what = f"{scope.name}.{attribute}, a {shared} shared by all instances, is changed in"
                    message = f"{what} {method.name}() in more than one step without a lock"
                    report.append(("FT207", node, message, "make it per instance, or hold a lock around it"))
        return report

    def _place(self, walk: Walk) -> tuple[_Facts, Scope, bool] | None:
        """Facts of the class, the method, and whether a lock is held; None outside methods."""
        function = walk.scope.function()
        while function is not None and function.parent is not None and function.parent.kind != "class":
            function = function.parent.function()
        if function is None or function.parent is None:
            return None
        facts = self._classes.setdefault(function.parent, _Facts())
        return facts, function, walk.locked or function.acquired or walk.scope.acquired

    def _assign(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Assign
        if walk.scope.kind == "class":
            kind = kind_of(node.value)
            if kind is not None:
                mutable = self._classes.setdefault(walk.scope, _Facts()).mutable
                mutable.update({target.id: kind for target in node.targets if type(target) is ast.Name})
            return
        place = self._place(walk)
        if place is None:
            return
        facts, method, locked = place
        for target in node.targets:
            attribute = _own(target)
            if attribute is not None:
                facts.rebound.add(attribute)
                self._write(facts, attribute, method, locked)
                if isinstance(node.value, ast.BinOp) and _reads_own(node.value, attribute):
                    facts.counts.append((attribute, node, method, locked))

    def _augment(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.AugAssign
        place = self._place(walk)
        if place is None:
            return
        facts, method, locked = place
        attribute = _own(node.target)
        if attribute is not None:
            self._write(facts, attribute, method, locked)
            facts.counts.append((attribute, node, method, locked))
        elif type(node.target) is ast.Subscript:
            attribute = _own(node.target.value)
            if attribute is not None and not locked and method.name not in _QUIET:
                facts.elements.append((attribute, node, method))

    def _write(self, facts: _Facts, attribute: str, method: Scope, locked: bool) -> None:
        if method.name not in _QUIET:
            facts.writers.setdefault(attribute, set()).add(method.name)
            if locked:
                facts.written_locked.add(attribute)

    def _call(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Call
        place = self._place(walk)
        if place is None:
            return
        facts, _method, locked = place
        called = _own(node.func)
        if called is not None:
            facts.calls.setdefault(called, []).append(locked)
        name = (chain_of(node.func) or ("",))[-1]
        if name in ("Thread", "Timer", "start_new_thread", "run_in_executor", "to_thread", "submit"):
            handed = [
                *node.args,
                *(keyword.value for keyword in node.keywords if keyword.arg in ("target", "function")),
            ]
            facts.targets.update(own for own in map(_own, handed) if own is not None)

    def _if(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.If
        place = self._place(walk)
        test = node.test
        if place is None or place[2] or type(test) is not ast.Compare or len(test.ops) != 1:
            return
        attribute = _own(test.comparators[0])
        if attribute is None or not isinstance(test.ops[0], ast.NotIn) or place[1].name in _QUIET:
            return
        if _stores_own(node.body, attribute):
            place[0].elements.append((attribute, node, place[1]))


def _own(node: ast.AST) -> str | None:
    """`x` for `self.x` and `cls.x`."""
    if type(node) is ast.Attribute and type(node.value) is ast.Name and node.value.id in ("self", "cls"):
        return node.attr
    return None


def _reads_own(value: ast.expr, attribute: str) -> bool:
    return any(_own(node) == attribute for node in ast.walk(value))


def _stores_own(statements: list[ast.stmt], attribute: str) -> bool:
    for statement in statements:
        for target in statement.targets if type(statement) is ast.Assign else ():
            if type(target) is ast.Subscript and _own(target.value) == attribute:
                return True
    return stores_into(statements, f"self.{attribute}")


def _is_held(facts: _Facts, method: Scope) -> bool:
    """True for a method that its class calls, and only with a lock held."""
    calls = facts.calls.get(method.name, [])
    return bool(calls) and all(calls)


def _shared_because(facts: _Facts, attribute: str, method: Scope) -> str:
    if method.name in _QUIET or method.is_async:
        return ""
    if attribute in facts.written_locked:
        return "and under one elsewhere"
    writers = facts.writers.get(attribute, set())
    if len(writers) > 1 and writers & facts.targets:
        return f"and also in the thread that runs {min(writers & facts.targets)}()"
    return ""
