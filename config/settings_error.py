"""The one error of reading settings."""

from __future__ import annotations

from collections.abc import Sequence


class SettingsError(ValueError):
    """The settings cannot be used. `faults` are all the reasons; none repeats a value."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)
