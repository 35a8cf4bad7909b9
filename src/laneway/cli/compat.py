"""`laneway compat`: probe dependencies in isolated interpreters, review the project's source, report and judge."""

import asyncio
import sys
from pathlib import Path
from typing import Any, cast

import msgspec
import rich_click as click

from laneway.cli import _screen as screen
from laneway.cli._compat_view import show_changes, show_failures, show_report
from laneway.cli._compat_work import CompatStopped, Wishes, opened, report_for
from laneway.cli._errors import CANCELLED, FAILED
from laneway.cli._interrupts import Interrupts
from laneway.cli._options import debug_option, json_option
from laneway.compat._children import Limits
from laneway.compat.baseline import (
    FAIL_ON,
    baseline_of,
    changes_between,
    failures_of,
    read_baseline,
    read_report,
)
from laneway.compat.benchmark import kept_benchmark
from laneway.compat.errors import BaselineUnreadable, TargetUnreadable
from laneway.compat.matrix import ASPECTS, Report
from laneway.compat.render_ci import junit_of, sarif_of
from laneway.compat.render_html import html_of
from laneway.compat.render_markdown import markdown_of
from laneway.compat.review_rules import rule_of
from laneway.compat.wanted import Wanted, wanted_from
from laneway.packages import open_package

__all__ = ["compat"]

_FORMATS = ("table", "markdown", "json", "html", "junit", "sarif")
_BY_SUFFIX = {
    ".md": "markdown",
    ".json": "json",
    ".html": "html",
    ".htm": "html",
    ".xml": "junit",
    ".sarif": "sarif",
}


@click.command()
@click.argument("targets", nargs=-1, metavar="[TARGET]...")
@click.option(
    "--python",
    metavar="PYTHON",
    help="Probe with this interpreter or environment instead of the running one.",
)
@click.option(
    "--free-threaded", metavar="PYTHON", help="Try the same versions on this free-threaded interpreter too."
)
@click.option("--extra", multiple=True, metavar="NAME", help="With this extra of the project.")
@click.option("--group", multiple=True, metavar="NAME", help="With this dependency group.")
@click.option("--offline", is_flag=True, help="Use only what is installed, and no index.")
@click.option(
    "--allow-build", is_flag=True, help="Allow distributions without a wheel: building runs their code."
)
@click.option(
    "--deep",
    is_flag=True,
    help="Every submodule, three interpreters, stress, state shared between interpreters.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Distributions probed at once; default: one per core."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds one import may take.",
)
@click.option(
    "--memory", type=click.IntRange(min=64), default=4096, show_default=True, help="MiB one import may use."
)
@click.option("--fresh", is_flag=True, help="Probe again what is known already.")
@click.option(
    "--for",
    "aspects",
    multiple=True,
    type=click.Choice(ASPECTS),
    help="What the status is about; default: interpreter, and free-threaded if that is tried.",
)
@click.option(
    "--source",
    multiple=True,
    metavar="PATH",
    help="Review this source; of projects and packages it is found.",
)
@click.option(
    "--rule", "rules", multiple=True, metavar="RULE", help="Also apply this rule, which is off by default."
)
@click.option(
    "--report", "full", is_flag=True, help="The adoption report: matrix, risks, review, benchmark, checklist."
)
@click.option(
    "--benchmark",
    metavar="FILE",
    help="Put the JSON of `laneway bench lanes` into the report. Default: what --save kept.",
)
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), help="Default: table, or by the suffix of --output."
)
@click.option("-o", "--output", metavar="FILE", help="Write to a file.")
@click.option(
    "--fail-on",
    multiple=True,
    metavar="WHAT",
    help=f"Exit with 1 if there is any; several with commas: {', '.join(FAIL_ON)}.",
)
@click.option("--baseline", metavar="FILE", help="What is listed in it does not fail, unless it got worse.")
@click.option("--write-baseline", metavar="FILE", help="Accept everything as it is now.")
@click.option("--diff", metavar="OLD.json", help="Show what changed since this report.")
@click.option("--uv", metavar="PATH", help="The uv to use.")
@json_option
@debug_option
@click.pass_context
def compat(ctx: click.Context, /, targets: tuple[str, ...], **options: Any) -> None:
    """Find out what dependencies do in isolated interpreters and on the free-threaded build, and review source code.

    TARGET is nothing (this environment), names such as numpy or 'numpy>=2', a requirements file, pyproject.toml or its
    folder, pylock.toml, uv.lock, a package folder or a .lane file. What is not installed goes into a throw-away folder.

    Probing imports the code of what you name, and of what that needs, in disposable processes with limits.
    Exit status: 0 fine, 1 something that --fail-on names was found, 2 usage, 3 stopped.
    """
    fail_on = _fail_on(options["fail_on"])
    form = _form(options)
    wishes = _wishes(options)
    baseline = read_baseline(Path(options["baseline"])) if options["baseline"] else None
    old = read_report(Path(options["diff"])) if options["diff"] else None
    wanted = opened(wanted_from(targets, extras=options["extra"], groups=options["group"]))
    wanted = _with_project(wanted, full=options["full"])
    if wishes.benchmark is None:
        wishes = wishes._replace(benchmark=_kept(wanted))
    to_stdout = not options["output"] and form != "table"
    kept = screen.keep_stdout_for_result() if to_stdout else None
    try:
        report = asyncio.run(_report(wanted, wishes))
    except CompatStopped:
        screen.errors().print("stopped; what was found out is kept, the same command goes on")
        ctx.exit(CANCELLED)
    if report is None:
        ctx.exit(CANCELLED)
    failures = failures_of(report, fail_on, baseline)
    if form == "table":
        show_report(report)
    else:
        _write(_rendered(report, form, failures, wanted, full=options["full"]), options["output"], kept)
    if options["write_baseline"]:
        data = msgspec.json.format(msgspec.json.encode(baseline_of(report)), indent=2) + b"\n"
        _write(data, options["write_baseline"], None)
    if old is not None:
        show_changes(changes_between(old, report))
    show_failures(failures)
    ctx.exit(FAILED if failures else 0)


async def _report(wanted: Wanted, wishes: Wishes) -> Report | None:
    with Interrupts() as interrupts:
        return await interrupts.unless_asked(report_for(wanted, wishes, interrupts, _say))


def _say(text: str) -> None:
    screen.errors().print(screen.without_controls(text), soft_wrap=True)


def _with_project(wanted: Wanted, *, full: bool) -> Wanted:
    """The adoption report of an environment also looks at the project in the current folder, if there is one."""
    if wanted.kind != "environment" or not full or not Path("pyproject.toml").is_file():
        return wanted
    project = wanted_from(["pyproject.toml"])
    return msgspec.structs.replace(
        wanted, label=project.label, requirements=project.requirements, source=project.source
    )


def _fail_on(given: tuple[str, ...]) -> list[str]:
    wishes = [part.strip() for one in given for part in one.split(",") if part.strip()]
    for one in wishes:
        if one not in FAIL_ON:
            raise click.BadParameter(f"{one!r} is not one of {', '.join(FAIL_ON)}", param_hint="--fail-on")
    return wishes


def _form(options: dict[str, Any]) -> str:
    if options["as_json"]:
        return "json"
    if options["form"]:
        return str(options["form"])
    if options["output"]:
        suffix = Path(options["output"]).suffix.lower()
        if suffix not in _BY_SUFFIX:
            raise click.BadParameter(
                f"no format is known by the suffix {suffix!r}; give --format", param_hint="--output"
            )
        return _BY_SUFFIX[suffix]
    return "markdown" if options["full"] else "table"


def _wishes(options: dict[str, Any]) -> Wishes:
    rules: set[str] = set()
    for text in options["rules"]:
        rule = rule_of(text)
        if rule is None:
            raise click.BadParameter(f"there is no rule {text!r}", param_hint="--rule")
        rules.add(rule.id)
    for place in options["source"]:
        if not Path(place).exists():
            raise TargetUnreadable(
                target=place, reason="there is no such file or folder", advice="Check --source"
            )
    aspects = options["aspects"] or (
        ("interpreter", "free-threaded") if options["free_threaded"] else ("interpreter",)
    )
    return Wishes(
        options["python"],
        options["free_threaded"],
        options["offline"],
        options["allow_build"],
        options["deep"],
        options["jobs"],
        Limits(options["timeout"], options["memory"] * 2**20),
        options["fresh"],
        tuple(aspects),
        options["source"],
        frozenset(rules),
        Path(options["baseline"]) if options["baseline"] else None,
        _benchmark(options["benchmark"]),
        options["uv"],
    )


def _benchmark(file: str | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        found: Any = msgspec.json.decode(Path(file).read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        advice = "Make it with `laneway bench lanes --json`"
        raise BaselineUnreadable(file=file, reason=str(error), advice=advice) from error
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {"results": found}


def _kept(wanted: Wanted) -> dict[str, Any] | None:
    """What `laneway bench lanes --save` kept for a package, or for a project's own files."""
    if wanted.kind == "package":
        return kept_benchmark(content=open_package(wanted.file).unit().key)
    if wanted.kind == "names":
        return None
    return kept_benchmark(root=Path(wanted.file).parent if wanted.file else Path.cwd())


def _rendered(report: Report, form: str, failures: list[str], wanted: Wanted, *, full: bool) -> bytes:
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"
    if form == "html":
        return html_of(report).encode("utf-8", "replace")
    if form == "junit":
        return junit_of(report, failures).encode("utf-8", "replace")
    if form == "sarif":
        return sarif_of(report, anchor=Path(wanted.file).name if wanted.file else "pyproject.toml")
    return markdown_of(report, full=full).encode("utf-8", "replace")


def _write(data: bytes, output: str | None, kept: int | None) -> None:
    if output is not None:
        Path(output).expanduser().write_bytes(data)
        return
    with open(kept, "wb") if kept is not None else sys.stdout.buffer as stream:
        stream.write(data)
