"""How long to wait before something that failed is tried again."""

from __future__ import annotations

# Beyond this the power would be no float any more, after a weekend of failures.
_MOST_STEPS = 100


def backoff(failures: int, first: float, most: float, *, growth: float = 2.0) -> float:
    """Seconds to wait after so many failures in a row, at least one.

    It is `first` after the first, `growth` times as long after each further one, and never more
    than `most`.
    """
    return min(most, first * growth ** min(failures - 1, _MOST_STEPS))
