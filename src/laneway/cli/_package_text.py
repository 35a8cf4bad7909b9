"""What `laneway package inspect` shows to people."""

from collections.abc import Iterator, Mapping
from typing import Any

from laneway.cli import _screen as screen
from laneway.cli._package_natives import native_lines

__all__ = ["inspection_lines", "size_text"]

_KIB = 1024


def size_text(size_bytes: int) -> str:
    """A size for people: `512 B`, `3.4 KiB`, `12 MiB`."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB"):
        if size < _KIB:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 10 else f"{size:.1f} {unit}"
        size /= _KIB
    return f"{size:.1f} GiB"


def inspection_lines(found: Mapping[str, Any]) -> list[str]:
    """An inspection as lines of text."""
    return [*_head(found), *_tasks(found), *_rules(found), *_dependencies(found)]


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['name']} {found['version']}" + (
        f": {found['description']}" if found["description"] else ""
    )
    yield f"  {found['form']:10} {found['path']}"
    sizes = found["sizes"]
    parts = [
        f"{sizes['files']} files, {size_text(sizes['total_bytes'])}",
        f"src {size_text(sizes['src_bytes'])}",
    ]
    parts.append(f"vendor {size_text(sizes['vendor_bytes'])}")
    if sizes["archive_bytes"] is not None:
        parts.append(f"archive {size_text(sizes['archive_bytes'])}")
    yield f"  size       {'; '.join(parts)}"
    yield f"  content    {found['content_hash']}"
    signer = found["signature"]["signer"]
    yield f"  signature  {found['signature']['status']}{f' ({signer})' if signer else ''}"
    yield f"  entry      {found['entry_module']}, Python {found['requires_python'] or 'any'}"


def _tasks(found: Mapping[str, Any]) -> Iterator[str]:
    if found["problem"]:
        yield ""
        yield f"Its tasks could not be found: {found['problem']}"
    tasks = {task["id"]: task for task in found["tasks"] or ()}
    for workflow in found["workflows"] or ():
        yield ""
        yield f"Workflow {workflow['name']}" + (
            f": {workflow['description']}" if workflow["description"] else ""
        )
        width = max((len(name) for name in workflow["tasks"]), default=0)
        for name in workflow["tasks"]:
            task = tasks[name]
            after = ", ".join(workflow["needs"].get(name, ()))
            kind = "async" if task["is_async"] else "sync"
            lane = (
                f"cannot run: {task['refused']}" if task["refused"] else f"{task['lane']}: {task['reason']}"
            )
            yield f"  {name:{width}}  {kind:5}  {lane}" + (f"  (after {after})" if after else "")
        for problem in workflow["problems"]:
            yield f"  problem: {problem}"
    if found["interpreter_refusal"]:
        yield ""
        yield f"It does not load in an interpreter: {found['interpreter_refusal']}"


def _rules(found: Mapping[str, Any]) -> Iterator[str]:
    yield ""
    allowed = [f"{key} = {_shown(value)}" for key, value in found["policy"].items() if value]
    yield f"Policy: allows {'; '.join(allowed)}" if allowed else "Policy: allows nothing beyond computing"
    if found["limits"]:
        yield f"Limits: {'; '.join(f'{key} = {value}' for key, value in found['limits'].items())}"
    for schedule in found["schedules"]:
        when = schedule["cron"] or schedule["at"] or f"every {schedule['every_seconds']:g} s"
        yield f"Schedule {schedule['name']}: {schedule['workflow']}, {when} ({schedule['timezone']})"
    for trigger in found["triggers"]:
        what = f"files in {trigger['files']}" if trigger["files"] else f"runs of {trigger['follows']}"
        yield f"Trigger {trigger['name']}: {trigger['workflow']}, {'HTTP calls' if trigger['http'] else what}"


def _dependencies(found: Mapping[str, Any]) -> Iterator[str]:
    dependencies = found["dependencies"]
    if dependencies["vendored"]:
        yield ""
        yield "Vendored:"
    for one in dependencies["vendored"]:
        native = f", native code in {screen.counted(len(one['native']), 'file')}" if one["native"] else ""
        yield f"  {one['name']} {one['version']}  {size_text(one['size_bytes'])}{native}"
    yield from native_lines(found.get("native", []))
    if dependencies["missing"]:
        yield ""
        yield f"Missing from vendor/: {', '.join(dependencies['missing'])}. Run `laneway package vendor`"


def _shown(value: Any) -> str:
    return ", ".join(value) if value.__class__ is list else str(value).lower()
