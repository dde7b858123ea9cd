"""Dates and times as DICOM writes them."""

from __future__ import annotations

from datetime import datetime, timedelta


def datetime_of(text: str) -> datetime | None:
    """A DICOM date, or date and time, without its time zone."""
    digits = text.strip().split("+")[0].split("-")[0]
    stamp, _, fraction = digits.partition(".")
    if not stamp.isdigit() or len(stamp) not in (8, 10, 12, 14):
        return None
    try:
        moment = datetime.strptime(stamp.ljust(14, "0"), "%Y%m%d%H%M%S")  # noqa: DTZ007
    except ValueError:
        return None
    return moment + timedelta(seconds=float(f"0.{fraction}") if fraction.isdigit() else 0)


def clock_of(text: str) -> timedelta | None:
    """A DICOM time, as the time since midnight; the old form 10:35:00 is read, too."""
    moment = datetime_of("20000101" + text.replace(":", "")) if text else None
    return None if moment is None else since_midnight(moment)


def since_midnight(moment: datetime) -> timedelta:
    """The time of day."""
    return moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)
