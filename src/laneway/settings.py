"""Every setting, declared once: name, default, unit, help. The environment is read here and nowhere else."""

import os
import tempfile
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from laneway._core.errors import SettingInvalid

__all__ = [
    "SETTINGS",
    "Setting",
    "Settings",
    "age_from",
    "moment_of",
    "past_moment",
    "retention_from",
    "runtime_folder",
    "settings_from",
]

type Durability = Literal["commit", "fsync", "exit"]
type LogLines = Literal["console", "json"]
type AuditFsync = Literal["each", "rotate"]


class Setting(NamedTuple):
    """One setting as documented: `laneway doctor` and the reference page list these."""

    variable: str
    default: str
    help: str
    is_secret: bool = False


SETTINGS = (
    Setting(
        "LANEWAY_STORE",
        "sqlite:///laneway.db",
        "Store that commands use: sqlite:///FILE, postgresql://... or memory://.",
    ),
    Setting(
        "LANEWAY_DURABILITY", "commit", "fsync (survives power loss), commit (survives the process) or exit."
    ),
    Setting("LANEWAY_INTERPRETERS", "on", "off runs the interpreter lane on worker processes instead."),
    Setting("LANEWAY_WORKERS", "", "Workers per package on isolated lanes; default: one per core."),
    Setting("LANEWAY_GRACE", "5", "Seconds running steps may go on when the program ends."),
    Setting(
        "LANEWAY_CONTEXT_LIMIT",
        "32",
        "Megabytes that the initial context of a run may have as JSON; larger data belongs into artifacts.",
    ),
    Setting(
        "LANEWAY_RETENTION",
        "",
        "Age at which engines delete finished runs by themselves, such as 30d; without it they are kept.",
    ),
    Setting("LANEWAY_LOG", "warning", "Level of log lines on standard error: debug, info, warning or error."),
    Setting("LANEWAY_LOG_FORMAT", "console", "How commands write log lines: console or json."),
    Setting(
        "LANEWAY_REDACT", "", "Keys whose values log lines leave out, separated by commas: password,token."
    ),
    Setting("LANEWAY_AUDIT", "", "Folder of the audit log; without it there is none."),
    Setting(
        "LANEWAY_AUDIT_FSYNC",
        "rotate",
        "Force the audit log to the disk with each write, or rotate: each file.",
    ),
    Setting(
        "LANEWAY_TRUSTED_KEYS",
        "",
        "Public keys whose signatures on packages are accepted, or files with one each, separated by commas.",
    ),
    Setting("LANEWAY_SIGNED_ONLY", "off", "on refuses packages that no trusted key signed."),
    Setting("LANEWAY_ARTIFACT_MIB", "1024", "The largest artifact that a task may make; off for any size."),
    Setting(
        "LANEWAY_CELERY_BROKER",
        "",
        "Broker between the celery lane and `laneway worker`: redis://HOST/0, amqp://USER:PASSWORD@HOST//.",
    ),
    Setting(
        "LANEWAY_CELERY_PATIENCE",
        "30",
        "Seconds that a task on the celery lane may wait for the broker, and for a worker that listens.",
    ),
    Setting(
        "LANEWAY_TOKEN",
        "",
        "Token that callers of `laneway serve` must send; without one only this machine may call.",
        is_secret=True,
    ),
    Setting(
        "LANEWAY_SECRETS",
        "",
        "Folder with the secrets of HTTP triggers, one file each, named like the secret.",
    ),
    Setting("LANEWAY_PS", "on", "off hides engines from `laneway ps`."),
)


class Settings(NamedTuple):
    """What the program's surroundings ask for."""

    store: str = "sqlite:///laneway.db"
    durability: Durability = "commit"
    interpreters: bool = True
    workers: int | None = None
    grace: float = 5.0
    context_bytes: int = 32_000_000
    retention: float | None = None
    log: str = "warning"
    log_lines: LogLines = "console"
    redact: tuple[str, ...] = ()
    audit: str = ""
    audit_fsync: AuditFsync = "rotate"
    trusted_keys: tuple[str, ...] = ()
    signed_only: bool = False
    artifact_bytes: int | None = 1 << 30
    celery_broker: str = ""
    celery_patience: float = 30.0
    ps: bool = True
    token: str = ""
    secrets: str = ""


def settings_from(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        SettingInvalid: a variable has a value it cannot have.
    """
    raw = {one.variable: environment.get(one.variable, one.default) for one in SETTINGS}
    return Settings(
        store=raw["LANEWAY_STORE"],
        durability=durability_from("LANEWAY_DURABILITY", raw["LANEWAY_DURABILITY"]),
        interpreters=_switch("LANEWAY_INTERPRETERS", raw["LANEWAY_INTERPRETERS"]),
        workers=_workers(raw["LANEWAY_WORKERS"]),
        grace=_seconds("LANEWAY_GRACE", raw["LANEWAY_GRACE"]),
        context_bytes=_megabytes("LANEWAY_CONTEXT_LIMIT", raw["LANEWAY_CONTEXT_LIMIT"]),
        retention=retention_from("LANEWAY_RETENTION", raw["LANEWAY_RETENTION"]),
        log=_level(raw["LANEWAY_LOG"]),
        log_lines="json" if _one_of("LANEWAY_LOG_FORMAT", raw, "console", "json") == "json" else "console",
        redact=_listed(raw["LANEWAY_REDACT"]),
        trusted_keys=_listed(raw["LANEWAY_TRUSTED_KEYS"]),
        signed_only=_switch("LANEWAY_SIGNED_ONLY", raw["LANEWAY_SIGNED_ONLY"]),
        audit=raw["LANEWAY_AUDIT"],
        audit_fsync="each" if _one_of("LANEWAY_AUDIT_FSYNC", raw, "each", "rotate") == "each" else "rotate",
        artifact_bytes=_mebibytes("LANEWAY_ARTIFACT_MIB", raw["LANEWAY_ARTIFACT_MIB"]),
        celery_broker=raw["LANEWAY_CELERY_BROKER"].strip(),
        celery_patience=_seconds("LANEWAY_CELERY_PATIENCE", raw["LANEWAY_CELERY_PATIENCE"]),
        ps=_switch("LANEWAY_PS", raw["LANEWAY_PS"]),
        token=raw["LANEWAY_TOKEN"].strip(),
        secrets=raw["LANEWAY_SECRETS"],
    )


def runtime_folder(environment: Mapping[str, str] = os.environ) -> str:
    """Where the sockets of this user's engines are: in XDG_RUNTIME_DIR, else in a folder of the user's own in /tmp."""
    folder = environment.get("XDG_RUNTIME_DIR", "")
    if folder and os.path.isdir(folder):
        return os.path.join(folder, "laneway")
    return os.path.join(tempfile.gettempdir(), f"laneway-{os.getuid()}")


def _listed(value: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in value.split(",") if one.strip())


def _one_of(setting: str, raw: Mapping[str, str], *allowed: str) -> str:
    value = raw[setting].strip().lower()
    if value in allowed:
        return value
    raise SettingInvalid(
        setting=setting, value=value, reason="it is none of its values", advice=f"Use {' or '.join(allowed)}."
    )


_DURABILITIES: tuple[Durability, ...] = ("commit", "fsync", "exit")


def durability_from(setting: str, value: str) -> Durability:
    """One of the three durabilities.

    Raises:
        SettingInvalid: it is none of them.
    """
    for one in _DURABILITIES:
        if value == one:
            return one
    raise SettingInvalid(
        setting=setting,
        value=value,
        reason="there is no such durability",
        advice="Use commit, fsync or exit.",
    )


def _switch(setting: str, value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in ("on", "1", "true", "yes"):
        return True
    if lowered in ("off", "0", "false", "no"):
        return False
    raise SettingInvalid(setting=setting, value=value, reason="it is a switch", advice="Use on or off.")


def _workers(value: str) -> int | None:
    if not value.strip():
        return None
    if value.strip().isdigit() and int(value) > 0:
        return int(value)
    raise SettingInvalid(
        setting="LANEWAY_WORKERS", value=value, reason="it is a number of workers", advice="Use 1 or more."
    )


def _seconds(setting: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if 0 <= seconds < float("inf"):
        return seconds
    raise SettingInvalid(
        setting=setting, value=value, reason="it is a number of seconds", advice="Use 0 or more."
    )


def _mebibytes(setting: str, value: str) -> int | None:
    if value.strip().lower() in ("", "off"):
        return None
    try:
        size = float(value)
    except ValueError:
        size = 0.0
    if 0 < size < float("inf"):
        return int(size * (1 << 20))
    raise SettingInvalid(
        setting=setting, value=value, reason="it is a number of MiB", advice="Use more than 0, or off."
    )


def _megabytes(setting: str, value: str) -> int:
    cleaned = value.strip()
    if cleaned.isdecimal() and cleaned.isascii() and int(cleaned) > 0:
        return int(cleaned) * 1_000_000
    raise SettingInvalid(
        setting=setting, value=value, reason="it is a number of megabytes", advice="Use 1 or more."
    )


def _level(value: str) -> str:
    lowered = value.strip().lower()
    if lowered in ("debug", "info", "warning", "error"):
        return lowered
    raise SettingInvalid(
        setting="LANEWAY_LOG",
        value=value,
        reason="there is no such level",
        advice="Use debug, info, warning or error.",
    )


def moment_of(deadline: datetime | timedelta | float | None, now: float) -> float | None:
    """A deadline in seconds since the epoch."""
    if deadline is None:
        return None
    if isinstance(deadline, datetime):
        return _stamp("deadline", deadline)
    return now + (deadline.total_seconds() if isinstance(deadline, timedelta) else float(deadline))


def past_moment(setting: str, value: datetime | timedelta | float, now: float) -> float:
    """A moment, or a time before `now`, in seconds since the epoch."""
    if isinstance(value, datetime):
        return _stamp(setting, value)
    return now - (value.total_seconds() if isinstance(value, timedelta) else float(value))


def _stamp(setting: str, value: datetime) -> float:
    if value.tzinfo is None:
        raise SettingInvalid(
            setting=setting, value=value, reason="it has no time zone", advice="Use datetime.now(UTC) + ..."
        )
    return value.timestamp()


_AGE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def age_from(setting: str, text: str) -> float:
    """An age such as `30d` in seconds.

    Raises:
        SettingInvalid: it is none.
    """
    cleaned = text.strip().lower()
    number, unit = cleaned[:-1], cleaned[-1:]
    if unit in _AGE_UNITS and number.replace(".", "", 1).isdecimal() and number.isascii():
        return float(number) * _AGE_UNITS[unit]
    raise SettingInvalid(
        setting=setting,
        value=text,
        reason="it is no age",
        advice="Use a number with s, m, h, d or w: 30d.",
    )


def retention_from(setting: str, value: str | timedelta | float | None) -> float | None:
    """How long finished runs are kept, in seconds; None for ever.

    Raises:
        SettingInvalid: it is no age, or less than a second.
    """
    if value is None or value in ("", "off"):
        return None
    if isinstance(value, str):
        seconds = age_from(setting, value)
    else:
        seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if not 1 <= seconds < float("inf"):
        raise SettingInvalid(
            setting=setting,
            value=value,
            reason="finished runs are kept for a second at least",
            advice="Use an age such as 30d, or leave it out to keep them.",
        )
    return seconds
