"""Shapes of code the thread-safety rules look for: mutable values, checks, stores, reads. No state."""

import ast
from collections.abc import Iterator

from laneway.compat.review_walk import chain_of, is_lock

__all__ = [
    "MUTATORS",
    "checked_name",
    "is_snapshot",
    "iterated_name",
    "kind_of",
    "lazy_targets",
    "reads",
    "stores_into",
    "stores_unlocked",
]

MUTATORS = frozenset(
    {
        "add",
        "append",
        "appendleft",
        "clear",
        "discard",
        "extend",
        "extendleft",
        "insert",
        "pop",
        "popitem",
        "popleft",
    }
    | {"remove", "reverse", "rotate", "setdefault", "sort", "subtract", "update", "difference_update"}
    | {"intersection_update", "symmetric_difference_update", "move_to_end"}
)
_CONSTRUCTORS = {
    "bytearray": "bytearray",
    "Counter": "counter",
    "defaultdict": "dict",
    "deque": "deque",
    "dict": "dict",
    "list": "list",
    "OrderedDict": "dict",
    "set": "set",
    "WeakKeyDictionary": "dict",
    "WeakSet": "set",
    "WeakValueDictionary": "dict",
}
_IDEMPOTENT = frozenset(
    {"compile", "frozenset", "tuple", "Struct", "import_module", "getLogger", "bool", "str", "int"}
)


def kind_of(value: ast.expr) -> str | None:
    """`dict`, `list`, `set`... if the expression makes a mutable container, else None."""
    if isinstance(value, ast.Dict | ast.DictComp):
        return "dict"
    if isinstance(value, ast.List | ast.ListComp):
        return "list"
    if isinstance(value, ast.Set | ast.SetComp):
        return "set"
    if type(value) is ast.Call:
        return _CONSTRUCTORS.get((chain_of(value.func) or ("",))[-1])
    return None


def reads(value: ast.expr, name: str, *, arithmetic: bool) -> bool:
    """True if `value` computes with the variable `name` (or an element of it)."""
    if arithmetic and not isinstance(value, ast.BinOp):
        return False
    return any(type(node) is ast.Name and node.id == name for node in ast.walk(value))


def checked_name(test: ast.expr) -> tuple[str | None, bool]:
    """The variable an `if` looks at to see whether something is there, and whether its body runs when it is not.

    `X is None`, `not X`, `k not in X`, `not X.get(k)` give (X, True); `X is not None`, `X`, `k in X` give (X, False).
    """
    if type(test) is ast.BoolOp and len(test.values) == 2 and type(test.op) is ast.Or:
        return checked_name(test.values[0])
    if type(test) is ast.Name:
        return test.id, False
    if type(test) is ast.UnaryOp and type(test.op) is ast.Not:
        name, absent = checked_name(test.operand)
        return name, not absent
    if type(test) is not ast.Compare or len(test.ops) != 1:
        return None, False
    operator, right = test.ops[0], test.comparators[0]
    if isinstance(operator, ast.In | ast.NotIn) and type(right) is ast.Name:
        return right.id, isinstance(operator, ast.NotIn)
    is_none = type(right) is ast.Constant and right.value is None
    if (
        is_none
        and isinstance(operator, ast.Is | ast.IsNot | ast.Eq | ast.NotEq)
        and type(test.left) is ast.Name
    ):
        return test.left.id, isinstance(operator, ast.Is | ast.Eq)
    return None, False


def _unlocked(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements below, without nested functions and without what a lock protects."""
    for statement in statements:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(statement, ast.With | ast.AsyncWith) and any(
            is_lock(one.context_expr) for one in statement.items
        ):
            continue
        if _acquires(statement):
            return
        yield statement
        for field in ("body", "orelse", "finalbody"):
            yield from _unlocked(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            yield from _unlocked(handler.body)


def _acquires(statement: ast.stmt) -> bool:
    if type(statement) is not ast.Expr or type(statement.value) is not ast.Call:
        return False
    return (chain_of(statement.value.func) or ("",))[-1] in (
        "acquire",
        "_acquireLock",
        "acquire_lock",
        "acquireLock",
    )


def stores_unlocked(statements: list[ast.stmt], name: str) -> list[ast.Assign]:
    """Plain assignments to the variable `name` that no lock protects."""
    return [
        statement
        for statement in _unlocked(statements)
        if type(statement) is ast.Assign
        and any(type(target) is ast.Name and target.id == name for target in statement.targets)
    ]


def lazy_targets(statements: list[ast.stmt], name: str) -> list[ast.Assign]:
    """The first assignment that creates the value of `name`; empty if making it twice is harmless."""
    return [one for one in stores_unlocked(statements, name) if not _is_harmless(one.value)][:1]


def _is_harmless(value: ast.expr) -> bool:
    """Constants, names and values that are equal however often they are made."""
    if type(value) is ast.Call:
        return (chain_of(value.func) or ("",))[-1] in _IDEMPOTENT
    if isinstance(value, ast.BoolOp | ast.Compare | ast.BinOp | ast.Tuple | ast.IfExp):
        return not any(type(one) is ast.Call for one in ast.walk(value))
    return isinstance(
        value, ast.Constant | ast.Name | ast.Attribute | ast.Lambda | ast.UnaryOp | ast.JoinedStr
    )


def stores_into(statements: list[ast.stmt], name: str) -> bool:
    """True if, without a lock, an element of the container `name` is stored or one is added."""
    for statement in _unlocked(statements):
        targets: list[ast.expr] = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AugAssign):
            targets = [statement.target]
        if any(
            type(one) is ast.Subscript and type(one.value) is ast.Name and one.value.id == name
            for one in targets
        ):
            return True
        if type(statement) is ast.Expr and type(statement.value) is ast.Call:
            chain = chain_of(statement.value.func)
            if (
                chain is not None
                and len(chain) == 2
                and chain[0] == name
                and chain[1] in ("add", "update", "append")
            ):
                return chain[1] != "add"
    return False


def iterated_name(iterable: ast.expr) -> str | None:
    """The variable that a loop iterates over directly or through `.items()`, `.keys()`, `.values()`."""
    if type(iterable) is ast.Call and type(iterable.func) is ast.Attribute:
        if iterable.func.attr not in ("items", "keys", "values") or iterable.args:
            return None
        iterable = iterable.func.value
    return iterable.id if type(iterable) is ast.Name else None


def is_snapshot(iterable: ast.expr) -> bool:
    """True if the loop runs over a copy."""
    return type(iterable) is ast.Call and (chain_of(iterable.func) or ("",))[-1] in (
        "list",
        "tuple",
        "sorted",
        "copy",
    )
