"""Moments and ages as people type them: `2h`, `30d`, `2027-01-31T08:00:00+01:00`, `2027-01-31`."""

from datetime import UTC, datetime, timedelta

from laneway._core.errors import SettingInvalid
from laneway.settings import age_from

__all__ = ["time_from"]


def time_from(option: str, text: str) -> datetime | timedelta:
    """A time span (before now, or from now on: as the option says), or a moment.

    Raises:
        SettingInvalid: it is neither.
    """
    try:
        return timedelta(seconds=age_from(option, text))
    except SettingInvalid:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise SettingInvalid(
            setting=option,
            value=text,
            reason="it is no time",
            advice="Write an age such as 2h or 30d, or a moment such as 2027-01-31T08:00:00+01:00.",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
