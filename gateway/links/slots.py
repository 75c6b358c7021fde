"""One place of a row's pattern: what may stand in a segment, a parameter, a field of a body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum

WORKORDER = "workorder"
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class Kind(IntEnum):
    """How much a slot says, from the least on."""

    NAME = 1
    WORKORDER = 2
    LITERAL = 3


@dataclass(frozen=True, slots=True)
class Slot:
    """One place of a pattern: a literal, or a placeholder with text around it."""

    kind: Kind
    before: str
    after: str = ""

    def capture(self, value: str) -> str | None:
        """What the placeholder stands for in `value`; for a literal the value; None: no fit."""
        if self.kind is Kind.LITERAL:
            return value if value == self.before else None
        if not (value.startswith(self.before) and value.endswith(self.after)):
            return None
        inner = value[len(self.before) : len(value) - len(self.after)]
        return inner or None

    @property
    def weight(self) -> tuple[int, int]:
        """Sorts the slot that says more later."""
        return self.kind, len(self.before) + len(self.after)


def parse_slot(text: str, where: str) -> Slot:
    """Compile a slot. Raises ValueError, which begins with `where`."""
    placeholders = _PLACEHOLDER.findall(text)
    if len(placeholders) > 1:
        raise ValueError(f"{where}: a segment can hold one placeholder, not {len(placeholders)}")
    if not placeholders:
        if "{" in text or "}" in text or "*" in text:
            raise ValueError(f"{where}: {text!r} is neither text, a {{name}} nor a final '**'")
        return Slot(Kind.LITERAL, text)
    before, _, after = text.partition(f"{{{placeholders[0]}}}")
    if any(c in before + after for c in "{}*"):
        raise ValueError(f"{where}: {text!r} has a stray brace or star")
    kind = Kind.WORKORDER if placeholders[0] == WORKORDER else Kind.NAME
    return Slot(kind, before, after)
