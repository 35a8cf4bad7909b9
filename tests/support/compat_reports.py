"""A small report with one row of each status, for the tests of formats and baselines."""

from laneway._core.compat import Verdict
from laneway.compat.matrix import FindingRow, Report, Risk, Row

GREEN = Verdict("green", "loads")
FREE = Verdict("green", "declared", "pure Python")
WHEEL = Verdict("green", "wheel")
RED = Verdict(
    "red", "refused", "<b>core</b> | single-phase initialisation", "core", way_out="use the process lane"
)
YELLOW = Verdict("yellow", "fallback", "fast is refused; it goes on without", "fast", way_out="measure it")
UNKNOWN = Verdict("unknown", "env-error", "a system library is missing: libgone.so")


def row(name: str, verdict: Verdict, version: str = "1.0") -> Row:
    return Row(
        name=name,
        version=version,
        status=verdict.status,
        is_direct=name == "bad",
        kind="native",
        interpreter=verdict,
        free_threaded=FREE,
        install=WHEEL,
        tops=(name,),
        seconds=0.5,
        memory_kib=20_000,
    )


def report(*rows: Row, findings: int = 1, reviewed: int = 3) -> Report:
    finding = FindingRow(
        "FT203", "warning", "src/app.py", 7, 4, "global x is read, changed and written back", "hold a lock"
    )
    return Report(
        target='shop <script>alert("x")</script>',
        source="as installed",
        python="Python 3.14.0",
        made="2026-11-21T00:00:00+00:00",
        laneway="0",
        rows=rows or (row("bad", RED), row("broken", UNKNOWN), row("slow", YELLOW), row("good", GREEN)),
        risks=(Risk("crashed when it was probed", ("bad",), "Keep it in `processes`."),),
        findings=(finding,) * findings,
        reviewed_files=reviewed,
        facts={"requires_python": ">=3.14", "ci_versions": ["3.13", "3.14"]},
    )
