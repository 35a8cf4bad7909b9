"""Sums up JSON lines with orjson.

orjson is written in Rust and does not load in a subinterpreter. `cpu=True` asks for the interpreter lane first, and
Laneway finds out when it loads the package: `laneway tasks` shows that `parsed` goes to the process lane, and why.
"""

from collections import Counter

import orjson

from laneway import Workflow, task


@task(cpu=True)
def parsed(lines: list[str]) -> dict[str, object]:
    """Counts per kind, and the lines that are not JSON."""
    kinds: Counter[str] = Counter()
    broken: list[int] = []
    for number, line in enumerate(lines, 1):
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            broken.append(number)
        else:
            kinds[str(record.get("kind", "none"))] += 1
    return {"kinds": dict(sorted(kinds.items())), "broken": broken}


@task(cpu=True)
def report(parsed: dict[str, object]) -> str:
    """The report as pretty JSON."""
    return orjson.dumps(parsed, option=orjson.OPT_INDENT_2).decode()


flow = Workflow("json-report", [parsed, report])
