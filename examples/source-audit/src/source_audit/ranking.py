"""What all files together show: totals, rules, the worst places, and the ten findings worth reading first."""

import os.path
from typing import Any

from laneway.compat.review_rules import RULES
from source_audit.crosscheck import cross_check

__all__ = ["rank_files"]

type File = dict[str, Any]

_MOST_PLACES = 1000
_MOST_FUNCTIONS = 50
_MOST_FILES = 25
_TOP = 10

_WEIGHTS = {
    "PY101": 95, "PY102": 94, "PY106": 90, "PY113": 88, "FT206": 86, "FT203": 84, "FT205": 82, "PY100": 80, "FT204": 78,
    "FT202": 76, "PY103": 75, "FT208": 72, "PY111": 71, "PY112": 70, "PY110": 69, "FT207": 68, "PY107": 66, "PY104": 64,
    "PY108": 62, "PY114": 60, "FT201": 40, "PY105": 30, "PY115": 20,
}  # fmt: skip
"""How interesting one finding of a rule is; a place in test code counts a third."""


def rank_files(root: str, files: list[File]) -> dict[str, Any]:
    """Totals, the findings in the order of interest, the worst functions and files, and what the imports say."""
    start = os.path.abspath(root).replace(os.sep, "/")
    folder = start if os.path.isdir(start) else start.rpartition("/")[0]
    checked = cross_check(folder, files)
    places = _places(folder, files, checked["own_modules"])
    counts = _counts(files, places)
    functions = _functions(folder, files)
    return {
        "root": start,
        "folder": folder,
        "totals": _totals(files, counts),
        "rules": _rules(counts, places),
        "findings": places[:_MOST_PLACES],
        "findings_more": sum(counts.values()) - min(len(places), _MOST_PLACES),
        "functions": functions[:_MOST_FUNCTIONS],
        "undocumented": _undocumented(folder, files),
        "complexity_spread": _spread(files),
        "imports": {key: value for key, value in checked.items() if key != "own_modules"},
        "top": _top(places, functions, checked),
    }


def _relative(folder: str, path: str) -> str:
    return path.removeprefix(folder.rstrip("/") + "/")


def _is_test(path: str) -> bool:
    parts = path.lower().split("/")
    return bool({"test", "tests", "testing", "idlelib"} & set(parts[:-1])) or parts[-1].startswith(
        ("test_", "conftest")
    )


def _places(folder: str, files: list[File], own_modules: list[str]) -> list[dict[str, Any]]:
    """All findings; a module that is gone is no finding where the tree has a module of that name."""
    own = set(own_modules)
    places: list[dict[str, Any]] = []
    for file in files:
        path = _relative(folder, file["path"])
        for rule, line, _column, message, fix in file["findings"]:
            if message.startswith("module ") and message.split()[1].partition(".")[0] in own:
                continue
            weight = _WEIGHTS.get(rule, 10) // (3 if _is_test(path) else 1)
            severity = RULES[rule].severity
            place = {
                "rule": rule,
                "severity": severity,
                "path": path,
                "line": line,
                "message": message,
                "fix": fix,
            }
            places.append({**place, "weight": weight})
    return sorted(places, key=lambda one: (-one["weight"], one["path"], one["line"], one["rule"]))


def _functions(folder: str, files: list[File]) -> list[dict[str, Any]]:
    found = [
        {"path": _relative(folder, file["path"]), "name": name, "line": line, "complexity": complexity}
        | {"nesting": nesting, "length": length}
        for file in files
        for name, line, complexity, nesting, length in file["worst"]
    ]
    return sorted(found, key=lambda one: (-one["complexity"], one["path"], one["line"]))


def _counts(files: list[File], places: list[dict[str, Any]]) -> dict[str, int]:
    """Findings per rule: those in `places`, and those a file's own list had no room for."""
    counts: dict[str, int] = {}
    for file in files:
        for rule, count in file["rules"].items():
            counts[rule] = counts.get(rule, 0) + count
    for file in files:
        for finding in file["findings"]:
            counts[finding[0]] -= 1
    for place in places:
        counts[place["rule"]] += 1
    return {rule: count for rule, count in counts.items() if count}


def _totals(files: list[File], counts: dict[str, int]) -> dict[str, int]:
    keys = (
        "bytes",
        "lines",
        "code",
        "comments",
        "functions",
        "classes",
        "complexity",
        "public",
        "undocumented",
    )
    totals = {key: sum(file[key] for file in files) for key in keys}
    totals["files"] = len(files)
    totals["unreadable"] = sum("PY100" in file["rules"] for file in files)
    for severity in ("error", "warning", "note"):
        totals[severity] = sum(count for rule, count in counts.items() if RULES[rule].severity == severity)
    totals["hazards"] = sum(count for rule, count in counts.items() if rule.startswith("FT"))
    return totals


def _rules(counts: dict[str, int], places: list[dict[str, Any]]) -> list[dict[str, Any]]:
    touched: dict[str, set[str]] = {}
    for place in places:
        touched.setdefault(place["rule"], set()).add(place["path"])
    return [
        {
            "id": rule.id,
            "name": rule.name,
            "severity": rule.severity,
            "summary": rule.summary,
            "explanation": rule.explanation,
            "count": counts[rule.id],
            "files": len(touched.get(rule.id, ())),
        }
        for rule in sorted(RULES.values(), key=lambda one: -counts.get(one.id, 0))
        if rule.id in counts
    ]


def _undocumented(folder: str, files: list[File]) -> list[dict[str, Any]]:
    worst = sorted(
        (file for file in files if file["undocumented"]), key=lambda one: (-one["undocumented"], one["path"])
    )
    return [
        {"path": _relative(folder, file["path"]), "missing": file["undocumented"], "public": file["public"]}
        | {"first": file["undocumented_first"]}
        for file in worst[:_MOST_FILES]
    ]


def _spread(files: list[File]) -> list[dict[str, Any]]:
    """How many files have their worst function in which band of complexity."""
    bands = ((0, 5), (6, 10), (11, 20), (21, 40), (41, None))
    return [
        {
            "label": f"{low} to {high}" if high is not None else f"{low} and more",
            "files": sum(
                low <= file["complexity_max"] and (high is None or file["complexity_max"] <= high)
                for file in files
            ),
        }
        for low, high in bands
    ]


def _top(
    places: list[dict[str, Any]], functions: list[dict[str, Any]], checked: dict[str, Any]
) -> list[dict[str, Any]]:
    """Ten findings of different kinds: at most two of a rule and one of a file, two functions, one import cycle."""
    top: list[dict[str, Any]] = []
    for function in functions[:2]:
        if function["complexity"] > 20:
            detail = (
                f"{function['name']}() has complexity {function['complexity']}, nesting {function['nesting']}"
            )
            top.append(_item("complexity", function, f"{detail}, {function['length']} lines"))
    for cycle in checked["cycles"][:1]:
        place = {"path": cycle["path"], "line": cycle["line"], "severity": "note"}
        top.append(
            _item("import-cycle", place, f"{cycle['size']} modules import each other: {cycle['chain']}")
        )
    used: dict[str, int] = {}
    seen: set[str] = set()
    for most in (2, 4, _TOP):
        for place in places:
            if len(top) >= _TOP:
                break
            if used.get(place["rule"], 0) < most and place["path"] not in seen:
                used[place["rule"]] = used.get(place["rule"], 0) + 1
                seen.add(place["path"])
                top.append(_item(place["rule"], place, place["message"], place["fix"]))
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(top, key=lambda one: (order[one["severity"]], one["kind"]))


def _item(kind: str, place: dict[str, Any], message: str, fix: str = "") -> dict[str, Any]:
    severity = place.get("severity", "warning")
    where = {"path": place["path"], "line": place["line"]}
    return {"kind": kind, "severity": severity, **where, "message": message, "fix": fix}
