"""When a cookie expires: dates as browsers read them (RFC 6265 section 5.1.1). Pure.

Python's own readers of dates want the forms of mail or of HTTP; backends write cookies' dates in
all that ever worked, asctime's among them.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[^0-9].*)?", re.DOTALL)
_DAY = re.compile(r"([0-9]{1,2})(?:[^0-9].*)?", re.DOTALL)
_YEAR = re.compile(r"([0-9]{2,4})(?:[^0-9].*)?", re.DOTALL)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_OLDEST_YEAR = 1601


def cookie_date(text: str) -> float | None:
    """The date as seconds since the epoch; None if it is none."""
    time: tuple[int, ...] = ()
    day = month = year = -1
    for token in filter(None, _DELIMITERS.split(text)):
        if not time and (match := _TIME.fullmatch(token)):
            time = tuple(map(int, match.groups()))
        elif day < 0 and (match := _DAY.fullmatch(token)):
            day = int(match[1])
        elif month < 0 and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year < 0 and (match := _YEAR.fullmatch(token)):
            year = _whole_year(int(match[1]))
    if not time or year < _OLDEST_YEAR:
        return None
    hour, minute, second = time
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _whole_year(year: int) -> int:
    if 70 <= year <= 99:
        return year + 1900
    return year + 2000 if year < 70 else year
