"""Every error Laneway raises: one root, a branch per layer, a stable code and the next step. Standard library only."""

from laneway._core.untyped import Any

__all__ = [
    "ArchiveRefused",
    "Backpressure",
    "ContextConflict",
    "JsonInvalid",
    "KeyReused",
    "LaneError",
    "LaneUnsuitable",
    "LanewayError",
    "ManifestInvalid",
    "PackageContentInvalid",
    "PackageError",
    "PackageImportFailed",
    "PackageInUse",
    "PackageNotInstalled",
    "PackageUnreadable",
    "PackageUnsuitable",
    "PlanError",
    "RunFailed",
    "RunNotFound",
    "SettingInvalid",
    "SignatureRefused",
    "SigningUnavailable",
    "StoreError",
    "StoreFenced",
    "StoreLocked",
    "StoreSchemaNewer",
    "StoreUnavailable",
    "TargetNotFound",
    "VendoringFailed",
    "WorkflowInvalid",
]


class LanewayError(Exception):
    """Root of all errors. `code` is stable, fields are attributes, the text ends with the next step."""

    code = "LW-000"
    template = "{message}"

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        for name, value in fields.items():
            setattr(self, name, value)
        super().__init__(self.template.format(**fields))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.fields)


def _listed(problems: list[str]) -> dict[str, Any]:
    """What templates say of several mistakes."""
    noun = "problem" if len(problems) == 1 else "problems"
    listing = "\n".join(f"  - {problem}" for problem in problems)
    return {"problems": problems, "count": len(problems), "noun": noun, "listing": listing}


def _rebuild(kind: type[LanewayError], fields: dict[str, Any]) -> LanewayError:
    return kind(**fields)


class SettingInvalid(LanewayError):
    """A setting, option or URL has a value it cannot have."""

    code = "LW-SET-001"
    template = "{setting} is {value!r}: {reason}. {advice}"


class PlanError(LanewayError):
    """A workflow cannot run as it is written."""

    code = "LW-PLAN-000"


class WorkflowInvalid(PlanError):
    """All mistakes found in a workflow, at once. `problems` holds one text per mistake."""

    code = "LW-PLAN-001"
    template = "workflow {workflow!r} cannot run: {count} {noun}\n{listing}"

    problems: list[str]

    def __init__(self, *, workflow: str, problems: list[str]) -> None:
        super().__init__(workflow=workflow, **_listed(problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {"workflow": self.fields["workflow"], "problems": self.problems})


class LaneUnsuitable(PlanError):
    """A task asks for a lane that cannot run it."""

    code = "LW-PLAN-004"
    template = "{task} cannot run on the {lane} lane: {reason}. Try {alternative}."


class TargetNotFound(PlanError):
    """What a command was told to run is not there."""

    code = "LW-PLAN-005"
    template = "cannot find {target!r}: {reason}. {advice}"


class ContextError(LanewayError):
    """A context or a value in it breaks the rules."""

    code = "LW-CTX-000"


class JsonInvalid(ContextError):
    """A value that JSON cannot hold. `path` says where, such as `result.rows[3].when`."""

    code = "LW-CTX-001"
    template = "{path} is {what}, which JSON cannot hold. {advice}"


class ContextConflict(ContextError):
    """Two tasks without an order between them set one key to different values."""

    code = "LW-CTX-002"
    template = (
        "tasks {first!r} and {second!r} both set {key!r}, to different values, and neither runs after the other. "
        "Order them with dependencies=, use two keys, or say how to merge it: Workflow(..., merge={{{key!r}: 'last'}})."
    )


class LaneError(LanewayError):
    """A lane cannot do its work."""

    code = "LW-LANE-000"


class PackageError(LanewayError):
    """A package cannot be read, checked or loaded."""

    code = "LW-PKG-000"
    template = "package {package}: {reason}. {advice}"


class ManifestInvalid(PackageError):
    """All mistakes found in a manifest, at once. `problems` holds one text per mistake."""

    code = "LW-PKG-001"
    template = "{source}: {count} {noun}\n{listing}"

    problems: list[str]

    def __init__(self, *, source: str, problems: list[str]) -> None:
        super().__init__(source=source, **_listed(problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {"source": self.fields["source"], "problems": self.problems})


class PackageUnreadable(PackageError):
    """There is no package where one was expected, or a part of it is missing or cannot be read."""

    code = "LW-PKG-002"


class PackageUnsuitable(PackageError):
    """The package is in order but does not work here, such as on this Python."""

    code = "LW-PKG-003"


class PackageImportFailed(PackageError):
    """Importing the package's entry module failed. `traceback` is the worker's."""

    code = "LW-PKG-004"
    template = "package {package}: importing {entry!r} failed: {reason}. {advice}\n{traceback}"

    traceback: str


class PackageContentInvalid(PackageError):
    """The package's tasks and its manifest do not fit. `problems` holds one text per mistake."""

    code = "LW-PKG-005"
    template = "package {package}: {count} {noun}\n{listing}"

    problems: list[str]

    def __init__(self, *, package: str, problems: list[str]) -> None:
        super().__init__(package=package, **_listed(problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), {"package": self.fields["package"], "problems": self.problems})


class ArchiveRefused(PackageError):
    """An archive breaks a rule. `rule` is the rule's stable name, `entry` the member that breaks it, if one does."""

    code = "LW-PKG-006"
    template = "package {package} is refused ({rule}): {reason}. {advice}"

    rule: str
    entry: str


class SignatureRefused(PackageError):
    """A package's signature is missing, wrong, or by a key that is not trusted."""

    code = "LW-PKG-007"


class SigningUnavailable(PackageError):
    """Signatures cannot be made or checked here."""

    code = "LW-PKG-008"
    template = (
        "signatures need the distribution 'cryptography', which cannot be imported ({reason}). {advice}"
    )


class VendoringFailed(PackageError):
    """The dependencies of a package could not be resolved or installed."""

    code = "LW-PKG-009"


class PackageInUse(PackageError):
    """A package cannot be removed because an engine still uses its files."""

    code = "LW-PKG-010"


class PackageNotInstalled(PackageError):
    """No installed package has that name and version."""

    code = "LW-PKG-011"


class StoreError(LanewayError):
    """The store cannot do what was asked. What was committed before stays committed."""

    code = "LW-STORE-000"


class StoreUnavailable(StoreError):
    """The store cannot be reached, read or written right now."""

    code = "LW-STORE-001"
    template = "store {store}: {reason}. {advice}"


class StoreLocked(StoreUnavailable):
    """Another program holds the store's lock for too long."""

    code = "LW-STORE-002"


class StoreSchemaNewer(StoreError):
    """The store was written by a newer Laneway."""

    code = "LW-STORE-003"
    template = (
        "store {store} has schema {found}, this Laneway knows schemas up to {known}. "
        "Upgrade Laneway, or use another store."
    )


class StoreFenced(StoreError):
    """This engine lost its lease: another engine may be driving its runs, so nothing was written."""

    code = "LW-STORE-004"
    template = (
        "engine {engine} lost its lease on store {store}; its runs belong to another engine now. "
        "Nothing was written."
    )


class KeyReused(StoreError):
    """An idempotency key was used before with another workflow."""

    code = "LW-STORE-005"
    template = (
        "key {key!r} belongs to run {run} of workflow {existing!r} and cannot start workflow {workflow!r}. "
        "Use another key."
    )


class RunNotFound(StoreError):
    """There is no such run in the store."""

    code = "LW-STORE-006"
    template = "no run {run!r} in store {store}. `laneway runs list` shows what is there."


class Backpressure(LanewayError):
    """The engine has no room for another run right now and the caller did not want to wait."""

    code = "LW-ENGINE-001"
    template = (
        "the engine holds {waiting} runs, its limit is {limit}. Wait for room (wait=True), or raise max_runs."
    )


class RunFailed(LanewayError):
    """A run ended without success. `result` has everything; the text shows the task, the message and the traceback."""

    code = "LW-RUN-001"
    template = "run {run} of {workflow!r} {status}{details}"

    result: Any
