"""One walk over a syntax tree that knows, at each node, its scope, whether a lock is held and what guards the code."""

import ast
import re
from collections.abc import Callable
from typing import cast

__all__ = ["Handler", "Scope", "Walk", "chain_of", "is_lock"]

_LOCKISH = re.compile(
    r"lock|mutex|guard|cond(ition)?$|_cv$|sem(aphore)?$|critical|synchron|not_empty|not_full", re.I
)
_SKIPPED = frozenset({"ctx", "op", "ops", "type_comment", "kind", "type_ignores"})
_IMPORT_ERRORS = frozenset(
    {"ImportError", "ModuleNotFoundError", "AttributeError", "RuntimeError", "Exception", "BaseException"}
)
_SUPPORTED = ((3, 14, 0, "final", 0), (3, 15, 0, "final", 0))
"""A branch that neither of these would take is not reviewed for removed names."""

_COMPARE: dict[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Lt: lambda left, right: left < right,  # type: ignore[operator]
    ast.LtE: lambda left, right: left <= right,  # type: ignore[operator]
    ast.Gt: lambda left, right: left > right,  # type: ignore[operator]
    ast.GtE: lambda left, right: left >= right,  # type: ignore[operator]
    ast.Eq: lambda left, right: left == right,
    ast.NotEq: lambda left, right: left != right,
}


class Scope:
    """A module, class, function or lambda: what is bound in it, imported in it and declared global."""

    __slots__ = ("acquired", "bound", "globals", "imports", "is_async", "kind", "name", "node", "parent")

    def __init__(
        self, kind: str, name: str, node: ast.AST, parent: Scope | None, is_async: bool = False
    ) -> None:
        self.kind = kind
        self.name = name
        self.node = node
        self.parent = parent
        self.is_async = is_async
        self.bound: set[str] = set()
        self.globals: set[str] = set()
        self.imports: dict[str, str] = {}
        self.acquired = False

    def is_global(self, name: str) -> bool:
        """True if `name`, used here, means the module's variable. Right only after the walk."""
        scope: Scope | None = self
        first = True
        while scope is not None and scope.kind != "module":
            if name in scope.globals:
                return True
            if (scope.kind != "class" or first) and (name in scope.bound or name in scope.imports):
                return False
            first = False
            scope = scope.parent
        return True

    def resolve(self, chain: tuple[str, ...]) -> str | None:
        """The dotted name that `chain` means through imports, or None. Right only after the walk."""
        scope: Scope | None = self
        first = True
        while scope is not None:
            if scope.kind != "class" or first:
                origin = scope.imports.get(chain[0])
                if origin is not None:
                    return ".".join((origin, *chain[1:]))
                if chain[0] in scope.bound and scope.kind != "module":
                    return None
            first = False
            scope = scope.parent
        return None

    def function(self) -> Scope | None:
        """The innermost function this is in, itself included."""
        scope: Scope | None = self
        while scope is not None and scope.kind not in ("function", "lambda"):
            scope = scope.parent
        return scope

    def class_(self) -> Scope | None:
        """The class whose method this is, itself included."""
        scope: Scope | None = self
        while scope is not None and scope.kind != "class":
            scope = scope.parent
        return scope


type Handler = Callable[[ast.AST, Walk], None]


def chain_of(node: ast.AST) -> tuple[str, ...] | None:
    """`a.b.c` as ("a", "b", "c"); None for anything but a name with attributes."""
    parts: list[str] = []
    while type(node) is ast.Attribute:
        parts.append(node.attr)
        node = node.value
    if type(node) is not ast.Name:
        return None
    parts.append(node.id)
    return tuple(reversed(parts))


def is_lock(expression: ast.AST) -> bool:
    """True if a `with` over this expression looks like holding a lock, judged by its name."""
    if type(expression) is ast.Call:
        expression = expression.func
        if type(expression) is ast.Attribute and expression.attr in (
            "acquire",
            "get_lock",
            "reader",
            "writer",
        ):
            expression = expression.value
    if type(expression) is ast.Subscript:
        expression = expression.value
    if type(expression) is ast.Attribute:
        return _LOCKISH.search(expression.attr) is not None
    return type(expression) is ast.Name and _LOCKISH.search(expression.id) is not None


class Walk:
    """The walk and where it is. Handlers get each node of their type before its children are visited."""

    def __init__(self, tree: ast.Module, handlers: dict[type[ast.AST], list[Handler]]) -> None:
        self.module = Scope("module", "", tree, None)
        self.scope = self.module
        self.locked: bool = False
        self.guarded: bool = False
        self.main_guard: bool = False
        self.final: list[str] = []
        """Inside `finally`: the kinds of loops and functions entered since, innermost last."""
        self._handlers = handlers
        self._fields: dict[type[ast.AST], tuple[str, ...]] = {}
        self._special: dict[type[ast.AST], Callable[[ast.AST], None]] = {
            ast.FunctionDef: self._function,
            ast.AsyncFunctionDef: self._function,
            ast.Lambda: self._function,
            ast.ClassDef: self._class,
            ast.With: self._with,
            ast.AsyncWith: self._with,
            ast.If: self._if,
            ast.IfExp: self._if_expression,
            ast.BoolOp: self._all_of,
            ast.AnnAssign: self._annotated,
            ast.Try: self._try,
            ast.TryStar: self._try,
            ast.For: self._loop,
            ast.AsyncFor: self._loop,
            ast.While: self._loop,
            ast.Name: self._name,
            ast.Import: self._import,
            ast.ImportFrom: self._import_from,
            ast.Global: self._global,
            ast.Call: self._call,
            ast.Constant: lambda node: None,
            ast.ExceptHandler: self._handler,
        }

    def run(self) -> None:
        """Visit the entire tree."""
        self._children(self.module.node)

    def _visit(self, node: ast.AST) -> None:
        kind = type(node)
        for handler in self._handlers.get(kind, ()):
            handler(node, self)
        special = self._special.get(kind)
        if special is None:
            self._children(node)
        else:
            special(node)

    def _children(self, node: ast.AST) -> None:
        kind = type(node)
        fields = self._fields.get(kind)
        if fields is None:
            fields = self._fields[kind] = tuple(name for name in node._fields if name not in _SKIPPED)
        for name in fields:
            value: object = getattr(node, name, None)
            if isinstance(value, list):
                for item in cast("list[object]", value):
                    if isinstance(item, ast.AST):
                        self._visit(item)
            elif isinstance(value, ast.AST):
                self._visit(value)

    def _all(self, nodes: list[ast.stmt]) -> None:
        for node in nodes:
            self._visit(node)

    def _name(self, node: ast.AST) -> None:
        if type(node) is ast.Name and type(node.ctx) is not ast.Load and node.id not in self.scope.globals:
            self.scope.bound.add(node.id)

    def _handler(self, node: ast.AST) -> None:
        if type(node) is ast.ExceptHandler and node.name:
            self.scope.bound.add(node.name)
        self._children(node)

    def _global(self, node: ast.AST) -> None:
        if type(node) is ast.Global:
            self.scope.globals.update(node.names)
            self.scope.bound.difference_update(node.names)

    def _import(self, node: ast.AST) -> None:
        if type(node) is ast.Import:
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                self.scope.imports[bound] = alias.name if alias.asname else bound

    def _import_from(self, node: ast.AST) -> None:
        if type(node) is ast.ImportFrom:
            for alias in node.names:
                if node.level or not node.module:
                    self.scope.bound.add(alias.asname or alias.name)
                else:
                    self.scope.imports[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def _call(self, node: ast.AST) -> None:
        assert type(node) is ast.Call
        name = node.func.attr if type(node.func) is ast.Attribute else getattr(node.func, "id", "")
        if name in ("acquire", "_acquireLock", "acquire_lock", "acquireLock"):
            self.scope.acquired = True
        self._children(node)

    def _function(self, node: ast.AST) -> None:
        assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        outer, locked, final = self.scope, self.locked, self.final
        arguments = node.args
        if isinstance(node, ast.Lambda):
            scope = Scope("lambda", "<lambda>", node, outer)
        else:
            if node.name not in outer.globals:
                outer.bound.add(node.name)
            for outside in (*node.decorator_list, node.returns):
                if outside is not None:
                    self._visit(outside)
            scope = Scope("function", node.name, node, outer, is_async=type(node) is ast.AsyncFunctionDef)
            locked = locked or node.name.endswith(("_locked", "_unlocked", "_nolock", "_lock_held"))
            locked = locked or any(is_lock(decorator) for decorator in node.decorator_list)
        every = (
            *arguments.posonlyargs,
            *arguments.args,
            *arguments.kwonlyargs,
            arguments.vararg,
            arguments.kwarg,
        )
        scope.bound.update(one.arg for one in every if one is not None)
        self._children(arguments)
        was_locked = self.locked
        self.scope, self.final = scope, []
        self.locked = locked if not isinstance(node, ast.Lambda) else was_locked
        if isinstance(node, ast.Lambda):
            self._visit(node.body)
        else:
            self._all(node.body)
        self.scope, self.locked, self.final = outer, was_locked, final

    def _class(self, node: ast.AST) -> None:
        assert type(node) is ast.ClassDef
        outer, locked, final = self.scope, self.locked, self.final
        outer.bound.add(node.name)
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self._visit(outside)
        self.scope, self.locked, self.final = Scope("class", node.name, node, outer), False, []
        self._all(node.body)
        self.scope, self.locked, self.final = outer, locked, final

    def _with(self, node: ast.AST) -> None:
        assert isinstance(node, ast.With | ast.AsyncWith)
        locked = self.locked
        for item in node.items:
            self._children(item)
        self.locked = locked or any(is_lock(item.context_expr) for item in node.items)
        self._all(node.body)
        self.locked = locked

    def _if(self, node: ast.AST) -> None:
        assert type(node) is ast.If
        self._visit(node.test)
        guarded, main = self.guarded, self.main_guard
        body_dead, else_dead = _dead_branches(node.test)
        if type(node.test) is ast.Name and node.test.id in self.scope.imports:
            else_dead = True  # `if thing:` over an import that may have failed: the else is for old versions
        self.guarded = guarded or body_dead
        self.main_guard = main or "__main__" in {getattr(one, "value", None) for one in ast.walk(node.test)}
        self._all(node.body)
        self.guarded, self.main_guard = guarded or else_dead, main
        self._all(node.orelse)
        self.guarded = guarded

    def _if_expression(self, node: ast.AST) -> None:
        assert type(node) is ast.IfExp
        self._visit(node.test)
        guarded = self.guarded
        body_dead, else_dead = _dead_branches(node.test)
        self.guarded = guarded or body_dead
        self._visit(node.body)
        self.guarded = guarded or else_dead
        self._visit(node.orelse)
        self.guarded = guarded

    def _all_of(self, node: ast.AST) -> None:
        """`version < (3, 14) and old()`: what follows the condition is not reached."""
        assert type(node) is ast.BoolOp
        guarded = self.guarded
        for value in node.values:
            self._visit(value)
            body_dead, else_dead = _dead_branches(value)
            self.guarded = self.guarded or (body_dead if type(node.op) is ast.And else else_dead)
        self.guarded = guarded

    def _annotated(self, node: ast.AST) -> None:
        """Annotations of a function's variables are never evaluated."""
        assert type(node) is ast.AnnAssign
        self._visit(node.target)
        if self.scope.kind != "function":
            self._visit(node.annotation)
        if node.value is not None:
            self._visit(node.value)

    def _try(self, node: ast.AST) -> None:
        assert isinstance(node, ast.Try | ast.TryStar)
        guarded = self.guarded
        caught = any(_catches_import_errors(handler) for handler in node.handlers)
        self.guarded = guarded or caught
        self._all(node.body)
        for handler in node.handlers:
            self._visit(handler)
        self.guarded = guarded
        self._all(node.orelse)
        final = self.final
        self.final = [*final, "finally"]
        self._all(node.finalbody)
        self.final = final

    def _loop(self, node: ast.AST) -> None:
        assert isinstance(node, ast.For | ast.AsyncFor | ast.While)
        for part in (node.test,) if isinstance(node, ast.While) else (node.target, node.iter):
            self._visit(part)
        final = self.final
        if final:
            self.final = [*final, "loop"]
        self._all(node.body)
        self.final = final
        self._all(node.orelse)


def _catches_import_errors(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any((chain_of(one) or ("",))[-1] in _IMPORT_ERRORS for one in caught)


def _dead_branches(test: ast.expr) -> tuple[bool, bool]:
    """Whether (body, else) is dead on the supported versions, or guarded in a way that cannot be evaluated."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        held = [_version_holds(test, version) for version in _SUPPORTED]
        if None not in held:
            return not any(held), all(held)
    for node in ast.walk(test):
        if type(node) is ast.Name and node.id in ("hasattr", "PY2", "PY3", "version_info"):
            return True, True
        if type(node) is ast.Attribute and node.attr in ("version_info", "PY2", "PY3", "hexversion"):
            return True, True
    return False, False


def _version_holds(test: ast.Compare, version: tuple[object, ...]) -> bool | None:
    left: object = version
    node: ast.expr = test.left
    part: ast.expr | None = None
    if isinstance(node, ast.Subscript):
        part = node.slice
        node = node.value
    elif isinstance(node, ast.Attribute) and node.attr in ("major", "minor"):
        part = ast.Constant(("major", "minor").index(node.attr))
        node = node.value
    if (chain_of(node) or ("",))[-1] != "version_info":
        return None
    try:
        if isinstance(part, ast.Slice):
            left = version[: ast.literal_eval(part.upper) if part.upper else None]
        elif part is not None:
            left = version[ast.literal_eval(part)]
        return _COMPARE[type(test.ops[0])](left, ast.literal_eval(test.comparators[0]))
    except ValueError, TypeError, KeyError, IndexError:
        return None
