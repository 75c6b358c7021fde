"""The throttles' windows in this process, for as long as Redis is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

# Windows kept in memory at most, some hundred bytes each; the longest untouched go first.
MAX_WINDOWS = 20_000


@dataclass(frozen=True, slots=True)
class Window:
    """A place to take a try from: at most `limit` within the throttle's window."""

    key: str
    limit: int


class MemoryWindows:
    """The same windows in this process: bounded, the longest untouched forgotten first.

    A guesser can push windows out only by opening as many others, each of which touches the
    window of its link; that one stays.
    """

    def __init__(self, length: float, max_windows: int = MAX_WINDOWS) -> None:
        self._length = length
        self._max_windows = max_windows
        self._windows: OrderedDict[str, list[tuple[float, str]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, windows: Sequence[Window], member: str, now: float) -> float:
        """0 if the try was taken, or else the seconds until there is room."""
        wait = max(self._wait(window, now) for window in windows)
        if not wait:
            self.note(windows, member, now)
        return wait

    def note(self, windows: Sequence[Window], member: str, now: float) -> None:
        """Enter a try without asking whether there is room; the oldest makes room."""
        for window in windows:
            entries = self._current(window.key, now)
            entries.append((now, member))
            del entries[: max(0, len(entries) - window.limit)]
            self._windows[window.key] = entries
            self._windows.move_to_end(window.key)
        while len(self._windows) > self._max_windows:
            self._windows.popitem(last=False)

    def give_back(self, own_key: str, whole_key: str, prefix: str) -> None:
        """Empty the visitor's own window, and take the newest of their tries from the other."""
        self._windows.pop(own_key, None)
        entries = self._windows.get(whole_key, [])
        for index in reversed(range(len(entries))):
            if entries[index][1].startswith(prefix):
                del entries[index]
                return

    def forget(self, prefix: str) -> None:
        """Empty every window whose key begins with `prefix`."""
        for key in [key for key in self._windows if key.startswith(prefix)]:
            del self._windows[key]

    def _wait(self, window: Window, now: float) -> float:
        entries = self._current(window.key, now)
        over = len(entries) - window.limit
        if over < 0:
            return 0.0
        return entries[over][0] + self._length - now

    def _current(self, key: str, now: float) -> list[tuple[float, str]]:
        return [e for e in self._windows.get(key, ()) if e[0] > now - self._length]
