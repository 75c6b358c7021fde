"""What a link's owner is told of its throttles. No I/O: entries in, a state out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from config.models import ThrottleSettings

# A member of a window, and when it was entered, in seconds since the epoch; the oldest first.
Entry = tuple[str, float]


@dataclass(frozen=True, slots=True)
class ThrottleState:
    """How many tries have failed at a link, and codes been sent for it, within the window.

    `retry_after` is the seconds until nobody has to wait any more; 0: nobody has to now.
    """

    failures: int = 0
    codes: int = 0
    retry_after: int = 0

    @property
    def is_locked(self) -> bool:
        """Whether somebody has to wait: everybody at the link's gates, or one who tried too often."""
        return self.retry_after > 0


def state_of(
    failures: Sequence[Entry],
    own: Iterable[Sequence[Entry]],
    codes: Sequence[Entry],
    settings: ThrottleSettings,
    now: float,
) -> ThrottleState:
    """The state of a link.

    `failures` and `codes` are the link's windows, `own` the windows of visitors that may be full;
    all without what has left the window by `now`. A code's member is the hash of the mail address,
    that of the visitor's, and a random part, with colons between.
    """
    by_email, by_address = defaultdict[str, list[Entry]](list), defaultdict[str, list[Entry]](list)
    for entry in codes:
        email, address, _ = entry[0].split(":")
        by_email[email].append(entry)
        by_address[address].append(entry)
    limited = [
        (failures, settings.failures_per_link),
        *((entries, settings.failures_per_address) for entries in own),
        *((entries, settings.codes_per_email) for entries in by_email.values()),
        *((entries, settings.codes_per_address) for entries in by_address.values()),
    ]
    longest = max(_wait(entries, limit, settings.window, now) for entries, limit in limited)
    return ThrottleState(len(failures), len(codes), math.ceil(longest))


def _wait(entries: Sequence[Entry], limit: int, window: float, now: float) -> float:
    """The seconds until the window has room; 0 if it has."""
    over = len(entries) - limit
    return 0.0 if over < 0 else entries[over][1] + window - now
