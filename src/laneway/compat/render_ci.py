"""The report for machines: JUnit and SARIF."""

from typing import Any
from xml.etree import ElementTree

import msgspec

from laneway.compat.matrix import Report, Row
from laneway.compat.review_rules import RULES

__all__ = ["junit_of", "sarif_of"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {"red": "error", "yellow": "warning", "unknown": "note"}


def junit_of(report: Report, failures: list[str]) -> str:
    """One test case a dependency and a file with findings; a case fails if `failures` names it."""
    failed = {line.partition(" is ")[0].rpartition(" ")[0]: line for line in failures if " is " in line}
    suites = ElementTree.Element("testsuites", name="laneway compat")
    suite = ElementTree.SubElement(suites, "testsuite", name="dependencies", tests=str(len(report.rows)))
    count = 0
    for row in report.rows:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname="laneway.compat",
            name=f"{row.name} {row.version}".strip(),
            time=str(row.seconds),
        )
        if row.name in failed:
            count += 1
            failure = ElementTree.SubElement(case, "failure", message=_xml(failed[row.name]), type=row.status)
            failure.text = _xml(_detail(row))
        elif row.status == "unknown":
            ElementTree.SubElement(
                case, "skipped", message=_xml(row.interpreter.reason or row.install.reason)
            )
    suite.set("failures", str(count))
    _findings(suites, report, failures)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _findings(suites: ElementTree.Element, report: Report, failures: list[str]) -> None:
    if report.reviewed_files < 0:
        return
    lines = [line for line in failures if " is " not in line.partition(": ")[0]]
    suite = ElementTree.SubElement(suites, "testsuite", name="source review")
    paths = sorted({one.path for one in report.findings})
    suite.set("tests", str(len(paths)))
    count = 0
    for path in paths:
        case = ElementTree.SubElement(suite, "testcase", classname="laneway.review", name=_xml(path))
        mine = [line for line in lines if line.startswith(f"{path}:")]
        if mine:
            count += 1
            ElementTree.SubElement(case, "failure", message=_xml(mine[0]), type="finding").text = _xml(
                "\n".join(mine)
            )
    suite.set("failures", str(count))


def _detail(row: Row) -> str:
    lines = [f"{name}: {one.answer} - {one.reason} ({one.way_out})" for name, one in (
        ("interpreter", row.interpreter), ("free-threaded", row.free_threaded), ("install", row.install)
    )]  # fmt: skip
    return "\n".join(lines)


def _xml(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return "".join(
        one if one in "\t\n" or (one >= " " and not 0xD800 <= ord(one) <= 0xDFFF) else "?" for one in text
    )


def sarif_of(report: Report, *, anchor: str) -> bytes:
    """SARIF 2.1.0. Dependencies are put down to the file that names them (`anchor`), findings to their line."""
    rules = [
        {
            "id": rule.id, "name": rule.name, "shortDescription": {"text": rule.summary},
            "fullDescription": {"text": rule.explanation}, "defaultConfiguration": {"level": rule.severity},
        }
        for rule in RULES.values()
    ]  # fmt: skip
    rules.append(
        {
            "id": "DEPENDENCY", "name": "dependency",
            "shortDescription": {"text": "A dependency is not fully compatible."},
            "fullDescription": {"text": "Probed in isolated interpreters, or declared by its wheels."},
            "defaultConfiguration": {"level": "warning"},
        }
    )  # fmt: skip
    results = [
        _result("DEPENDENCY", _LEVELS[row.status], _told(row, report), anchor, 1, 1)
        for row in report.rows
        if row.status != "green"
    ]
    results += [
        _result(one.rule, one.severity, f"{one.message}. {one.fix}", one.path, one.line, one.column + 1)
        for one in report.findings
    ]
    driver = {"name": "laneway compat", "version": report.laneway, "rules": rules}
    run = {"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _told(row: Row, report: Report) -> str:
    parts = [row.verdict(aspect) for aspect in report.aspects if row.verdict(aspect).status != "green"]
    reasons = "; ".join(one.reason or one.answer for one in parts or [row.install])
    return f"{row.name} {row.version}: {reasons}".strip()


def _result(rule: str, level: str, text: str, path: str, line: int, column: int) -> dict[str, Any]:
    region = {"startLine": line, "startColumn": column}
    place = {"artifactLocation": {"uri": path.replace("\\", "/")}, "region": region}
    return {
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"laneway/v1": f"{rule} {path} {text}"},
    }
