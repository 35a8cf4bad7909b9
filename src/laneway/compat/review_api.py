"""The review's rules on removed, deprecated and changed parts of Python (PY101 to PY114)."""

import ast

from laneway.compat.review_names import ARGUMENTS, METHODS, MODULES, NAMES, UNITTEST_ALIASES, Change
from laneway.compat.review_walk import Handler, Scope, Walk, chain_of

__all__ = ["ApiReview", "Report"]

type Report = list[tuple[str, ast.AST, str, str]]
"""Rule id, node, message, fix."""

_LAST_PARTS = frozenset(name.rpartition(".")[2] for name in NAMES)
_CALLED = frozenset(name.rpartition(".")[2] for name in ARGUMENTS)
_PROCESSES = frozenset(
    {"multiprocessing.Process", "multiprocessing.process.Process", "multiprocessing.context.Process"}
)
_CONCURRENT = frozenset({"threading", "multiprocessing", "concurrent"})
_EXECUTORS = frozenset(
    {
        "multiprocessing.Pool",
        "multiprocessing.pool.Pool",
        "concurrent.futures.ProcessPoolExecutor",
        "concurrent.futures.process.ProcessPoolExecutor",
    }
)


class ApiReview:
    """Collects uses during the walk and judges them after it, when all imports and bindings are known."""

    def __init__(self, knows_annotations: bool = False) -> None:
        self._knows_annotations = knows_annotations
        self.report: Report = []
        self._uses: list[tuple[tuple[str, ...], ast.AST, Scope]] = []
        self._calls: list[tuple[tuple[str, ...], ast.Call, Scope]] = []
        self._methods: list[tuple[str, ast.Call, Scope]] = []
        self._maybe_not_implemented: set[Scope] = set()
        self._negated_eq: list[tuple[ast.UnaryOp, Scope]] = []
        self._loops: dict[tuple[Scope, str], ast.Call] = {}
        self._driven: list[tuple[Scope, ast.expr]] = []
        self._defined: set[str] = set()
        self._concurrent = False

    def handlers(self) -> dict[type[ast.AST], list[Handler]]:
        """What to call for which node."""
        return {
            ast.Import: [self._import],
            ast.ImportFrom: [self._import_from],
            ast.Attribute: [self._attribute],
            ast.Call: [self._call],
            ast.Return: [self._leave],
            ast.Break: [self._leave],
            ast.Continue: [self._leave],
            ast.UnaryOp: [self._unary],
            ast.If: [self._truth],
            ast.While: [self._truth],
            ast.Subscript: [self._subscript],
            ast.Assign: [self._assign],
            ast.FunctionDef: [self._function],
        }

    def finish(self) -> Report:
        """The findings of the walk that has ended."""
        for chain, node, scope in self._uses:
            dotted = scope.resolve(chain)
            if dotted is not None and dotted in NAMES:
                self._changed(dotted, NAMES[dotted], node)
        for chain, call, scope in self._calls:
            self._judge_call(scope.resolve(chain) or "", call, scope)
        for scope, receiver in self._driven:
            self._judge_driven(receiver, scope)
        for name, call, scope in self._methods:
            self._judge_method(name, call, scope)
        for operation, class_scope in self._negated_eq:
            if class_scope in self._maybe_not_implemented:
                message = "`not self.__eq__(...)` is a TypeError when __eq__ returns NotImplemented"
                self.report.append(
                    ("PY113", operation, message, "write `not (self == other)`, or leave __ne__ out")
                )
        return self.report

    def _changed(self, name: str, change: Change, node: ast.AST) -> None:
        is_module = name in MODULES
        if change.kind == "removed" and change.removed == "3.15":
            rule, what = "PY103", "is gone in Python 3.15"
        elif change.kind == "removed":
            rule, what = ("PY101" if is_module else "PY102"), f"was removed in Python {change.removed}"
        elif change.removed:
            rule, what = "PY104", f"is deprecated and goes in Python {change.removed}"
        else:
            rule, what = "PY105", "is deprecated"
        self.report.append(
            (rule, node, f"{'module ' if is_module else ''}{name} {what}", f"use {change.instead}")
        )

    def _import(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Import
        self._concurrent |= any(alias.name.partition(".")[0] in _CONCURRENT for alias in node.names)
        if walk.guarded:
            return
        for alias in node.names:
            self._imported_module(alias.name, node)

    def _imported_module(self, name: str, node: ast.AST) -> bool:
        parts = name.split(".")
        for length in range(len(parts), 0, -1):
            module = ".".join(parts[:length])
            if module in MODULES:
                self._changed(module, MODULES[module], node)
                return True
        return False

    def _import_from(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.ImportFrom
        if node.level or not node.module:
            return
        self._concurrent |= node.module.partition(".")[0] in _CONCURRENT
        if node.module == "__future__" and any(alias.name == "annotations" for alias in node.names):
            message = "annotations are lazy since Python 3.14; the __future__ import keeps them as strings"
            self.report.append(("PY109", node, message, "remove it once 3.13 need not be supported"))
        if walk.guarded or self._imported_module(node.module, node):
            return
        for alias in node.names:
            dotted = f"{node.module}.{alias.name}"
            change = MODULES.get(dotted) or NAMES.get(dotted)
            if change is not None:
                self._changed(dotted, change, node)

    def _attribute(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Attribute
        if node.attr in _LAST_PARTS and not walk.guarded and type(node.ctx) is ast.Load:
            chain = chain_of(node)
            if chain is not None:
                self._uses.append((chain, node, walk.scope))

    def _call(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Call
        function = node.func
        name = function.attr if type(function) is ast.Attribute else getattr(function, "id", "")
        if name == "get" and node.args and _is_annotations(node.args[0]) and type(function) is ast.Attribute:
            self._namespace(function.value, node)
        if walk.guarded:
            return
        if name in _CALLED or name in ("Process", "Pool", "ProcessPoolExecutor", "get_event_loop"):
            chain = chain_of(function)
            if chain is not None:
                self._calls.append((chain, node, walk.scope))
        elif name in ("run_until_complete", "run_forever") and type(function) is ast.Attribute:
            self._driven.append((walk.scope, function.value))
        elif name in METHODS or name in UNITTEST_ALIASES:
            self._methods.append((name, node, walk.scope))

    def _judge_call(self, dotted: str, call: ast.Call, scope: Scope) -> None:
        if dotted == "asyncio.get_event_loop":
            if scope.function() is None:
                self._no_loop(call)
            return
        if dotted in _PROCESSES:
            self._judge_process(call, scope)
        if dotted in _PROCESSES or dotted in _EXECUTORS or dotted not in ARGUMENTS:
            return
        for form, version, way_out in ARGUMENTS[dotted]:
            if _matches(form, call):
                when = f"since Python {version}" if version in ("3.14", "3.15") else "in a later Python"
                when = f"in Python {version}" if version in ("3.16", "3.17", "3.19") else when
                label = f"{form.rstrip('=')} argument" if form.endswith("=") else form
                message = f"{dotted}: {label} not accepted {when}"
                self.report.append(("PY107", call, message, way_out))

    def _judge_driven(self, receiver: ast.expr, scope: Scope) -> None:
        if type(receiver) is ast.Name:
            receiver = self._loops.get((scope, receiver.id), receiver)
        if scope.is_async or scope.function() is None or type(receiver) is not ast.Call:
            return
        if scope.resolve(chain_of(receiver.func) or ("",)) == "asyncio.get_event_loop":
            self._no_loop(receiver)

    def _assign(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Assign
        value = node.value
        if type(value) is ast.Call and (chain_of(value.func) or ("",))[-1] == "get_event_loop":
            for target in node.targets:
                if type(target) is ast.Name:
                    self._loops[walk.scope, target.id] = value

    def _function(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.FunctionDef
        self._defined.add(node.name)

    def _no_loop(self, call: ast.Call) -> None:
        message = "asyncio.get_event_loop() raises RuntimeError here since Python 3.14: no loop is running"
        self.report.append(("PY110", call, message, "use asyncio.run(main()), or asyncio.Runner"))

    def _judge_process(self, call: ast.Call, scope: Scope) -> None:
        target = next((keyword.value for keyword in call.keywords if keyword.arg == "target"), None)
        function = scope.function()
        nested = type(target) is ast.Name and function is not None and _defines(function, target.id)
        if type(target) is ast.Lambda or nested:
            message = "a lambda or nested function as target cannot be pickled: forkserver is the default since 3.14"
            self.report.append(
                ("PY111", call, message, "use a module-level function, or get_context('fork').Process")
            )

    def _judge_method(self, name: str, call: ast.Call, scope: Scope) -> None:
        function = call.func
        assert type(function) is ast.Attribute or type(function) is ast.Name
        if type(function) is not ast.Attribute:
            return
        if name in METHODS:
            owner, instead = METHODS[name]
            if self._concurrent and name not in self._defined and len(call.args) == (name == "setDaemon"):
                self.report.append(("PY105", call, f"{owner}.{name}() is deprecated", f"use {instead}"))
            return
        class_scope = scope.class_()
        if type(function.value) is not ast.Name or function.value.id != "self" or class_scope is None:
            return
        defined = {getattr(one, "name", "") for one in getattr(class_scope.node, "body", [])}
        bases = [chain_of(base) or ("",) for base in getattr(class_scope.node, "bases", [])]
        if name not in defined and any(
            "Test" in base[-1] and not _has_aliases(base, scope) for base in bases
        ):
            message = f"TestCase.{name} was removed in Python 3.12"
            self.report.append(("PY106", call, message, f"use {UNITTEST_ALIASES[name]}"))

    def _leave(self, node: ast.AST, walk: Walk) -> None:
        kind = type(node).__name__.lower()
        owner = walk.scope.parent if walk.scope.name == "__eq__" else None
        if owner is not None and _is_not_implemented(getattr(node, "value", None)):
            self._maybe_not_implemented.add(owner)
        if not walk.final or (kind != "return" and walk.final[-1] == "loop"):
            return
        fix = "move it after the try statement; to ignore the exception, catch it"
        self.report.append(
            ("PY108", node, f"`{kind}` leaves a finally block and swallows the exception in flight", fix)
        )

    def _unary(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.UnaryOp
        operand = node.operand
        if type(node.op) is ast.Invert:
            is_bool = type(operand) is ast.Constant and isinstance(operand.value, bool)
            if is_bool or (type(operand) is ast.UnaryOp and type(operand.op) is ast.Not):
                message = "`~` on a truth value gives -1 or -2, both true; an error in Python 3.16"
                self.report.append(("PY114", node, message, "use `not`"))
        if type(node.op) is not ast.Not:
            return
        if _is_not_implemented(operand):
            self._not_implemented(node)
        if type(operand) is ast.Call and chain_of(operand.func) == ("self", "__eq__"):
            class_scope = walk.scope.class_()
            if class_scope is not None:
                self._negated_eq.append((node, class_scope))

    def _truth(self, node: ast.AST, walk: Walk) -> None:
        if isinstance(node, ast.If | ast.While) and _is_not_implemented(node.test):
            self._not_implemented(node)

    def _not_implemented(self, node: ast.AST) -> None:
        message = "NotImplemented has no truth value: TypeError since Python 3.14"
        self.report.append(("PY113", node, message, "compare with `is NotImplemented`"))

    def _subscript(self, node: ast.AST, walk: Walk) -> None:
        assert type(node) is ast.Subscript
        if _is_annotations(node.slice) and type(node.ctx) is ast.Load:
            self._namespace(node.value, node)

    def _namespace(self, owner: ast.expr, node: ast.AST) -> None:
        chain = chain_of(owner) or ("",)
        if self._knows_annotations:
            return
        is_vars = type(owner) is ast.Call and chain_of(owner.func) == ("vars",)
        if not is_vars and chain[-1] not in (
            "__dict__",
            "namespace",
            "classdict",
            "class_dict",
            "ns",
            "attrs",
            "classDict",
        ):
            return
        message = "a class namespace has no `__annotations__` since Python 3.14"
        fix = "use annotationlib.get_annotations, or get_annotate_from_class_namespace in a metaclass"
        self.report.append(("PY112", node, message, fix))


def _matches(form: str, call: ast.Call) -> bool:
    keywords = [keyword.arg for keyword in call.keywords]
    starred = None in keywords or any(type(one) is ast.Starred for one in call.args)
    if form.endswith("="):
        return form[:-1] in keywords
    if form == "any":
        return bool(call.args or call.keywords) and not starred
    if form == "no arguments":
        return not call.args and not call.keywords
    if form == "extra keyword":
        return (
            len(call.args) == 1
            and bool(set(keywords) - {None, "rename", "defaults", "module"})
            and not starred
        )
    if form == "no fields":
        none = len(call.args) == 2 and type(call.args[1]) is ast.Constant and call.args[1].value is None
        return (len(call.args) == 1 or none) and not [name for name in keywords if name != "total"]
    return bool(call.args) and type(call.args[0]) is ast.Constant and call.args[0].value == form.strip("'")


def _defines(function: Scope, name: str) -> bool:
    node = function.node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    nested = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(one, nested) and one.name == name for one in node.body)


def _is_annotations(node: ast.AST) -> bool:
    return type(node) is ast.Constant and node.value == "__annotations__"


def _is_not_implemented(node: ast.AST | None) -> bool:
    return type(node) is ast.Name and node.id == "NotImplemented"


def _has_aliases(base: tuple[str, ...], scope: Scope) -> bool:
    """Whether a base class is one of a framework that defines the old names itself."""
    return (scope.resolve(base) or "").startswith("twisted.trial")
