"""What can go wrong when compatibility is asked for, apart from what the probed code does."""

from laneway._core.errors import LanewayError, SettingInvalid

__all__ = ["BaselineUnreadable", "InterpreterUnusable", "ResolutionFailed", "TargetUnreadable"]


class TargetUnreadable(SettingInvalid):
    """What should be checked cannot be read."""

    code = "LW-COMPAT-001"
    template = "cannot check {target!r}: {reason}. {advice}"


class InterpreterUnusable(SettingInvalid):
    """The interpreter to probe with cannot be run, or is too old."""

    code = "LW-COMPAT-002"
    template = "cannot probe with {interpreter!r}: {reason}. {advice}"


class ResolutionFailed(LanewayError):
    """What is not installed could not be resolved or installed into a throw-away folder."""

    code = "LW-COMPAT-003"
    template = "{target} could not be {done}: {reason}\n{advice}"


class BaselineUnreadable(SettingInvalid):
    """A baseline or an older report cannot be read."""

    code = "LW-COMPAT-004"
    template = "cannot read {file!r}: {reason}. {advice}"
