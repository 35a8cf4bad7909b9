"""Translates SQL with sqlglot, a large pure-Python parser: a good fit for the interpreter lane."""

import sqlglot  # type: ignore[import-not-found]  # vendored
from sqlglot import exp  # pyright: ignore[reportMissingImports]

from laneway import Workflow, task


@task(lane="interpreter", each="queries")
def translated(queries: str, source: str, target: str) -> dict[str, object]:
    """One query in the target's dialect, with the tables it reads. A query that does not parse fails its step."""
    tree = sqlglot.parse_one(queries, read=source)
    tables = sorted({table.name for table in tree.find_all(exp.Table)})
    return {"sql": tree.sql(dialect=target), "tables": tables}


@task
def tables(translated: list[dict[str, object]]) -> list[str]:
    """All tables that the queries read."""
    return sorted({str(name) for one in translated for name in _texts(one["tables"])})


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


flow = Workflow("sql-translate", [translated, tables])
