"""What a row wants of a request's body.

`form`    the fields of a form (urlencoded, multipart), each exactly once
`json`    the members of a JSON document, named by pointers (RFC 6901), each exactly once
`absent`  what may not be there at all: a name, in the query, in a form, or of a member at any
          depth of a JSON document; or a pointer

A value is `{workorder}` (the link's own), `{name}` (any one value), a text, or one of several texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from gateway.links.parameters import same_parameter
from gateway.links.slots import Kind, Slot, parse_slot

FieldValue = str | tuple[str, ...]
Pointer = tuple[str, ...]

_BAD_TILDE = re.compile(r"~(?![01])")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one field may say: what fits `slot`, or one of `literals` where there is none."""

    slot: Slot | None
    literals: frozenset[str] = frozenset()

    @property
    def is_workorder(self) -> bool:
        """Whether it has to name the link's own record."""
        return self.slot is not None and self.slot.kind is Kind.WORKORDER

    def capture(self, value: str) -> str | None:
        """What a placeholder stands for, or the value; None: no fit. `{name}` alone may be empty."""
        if self.slot is None:
            return value if value in self.literals else None
        if self.slot == _ANYTHING:
            return value
        return self.slot.capture(value)

    def __str__(self) -> str:
        if self.slot is None:
            return " or ".join(sorted(self.literals))
        if self.slot.kind is Kind.LITERAL:
            return self.slot.before
        name = "{workorder}" if self.is_workorder else "{...}"
        return f"{self.slot.before}{name}{self.slot.after}"


_ANYTHING = Slot(Kind.NAME, "")


@dataclass(frozen=True, slots=True)
class BodyRules:
    """What a row wants, compiled."""

    form: tuple[tuple[str, Wanted], ...]
    json: tuple[tuple[Pointer, Wanted], ...]
    absent: tuple[str, ...]
    absent_members: tuple[Pointer, ...]

    @property
    def takes_form(self) -> bool:
        """Whether a form may come: where nothing is wanted of either kind, both may."""
        return bool(self.form) or not self.json

    @property
    def takes_json(self) -> bool:
        """Whether a JSON document may come."""
        return bool(self.json) or not self.form

    @property
    def wants_body(self) -> bool:
        """Whether a request without a body lacks something."""
        return bool(self.form or self.json)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are judged in the body, on its first level, and those that are absent.

        Many backends read parameters from the query and the body as if they were one.
        """
        first_level = [name for name, _ in self.form] + [pointer[0] for pointer, _ in self.json]
        return (*first_level, *self.absent)

    def judges_parameter(self, name: str) -> bool:
        """Whether a parameter of this name would be found out in every body that may come."""
        if name in self.absent:
            return True
        in_form = any(name == each for each, _ in self.form)
        in_json = any(pointer == (name,) for pointer, _ in self.json)
        return (in_form or not self.takes_form) and (in_json or not self.takes_json)


def parse_body_rules(
    form: Mapping[str, FieldValue],
    json: Mapping[str, FieldValue],
    absent: Iterable[str],
    where: str,
) -> BodyRules | None:
    """Compile what a row says of its body; None if it says nothing.

    Raises ValueError, which begins with `where`.
    """
    rules = BodyRules(
        form=tuple(
            (name, _wanted(value, f"{where}: form {name!r}")) for name, value in form.items()
        ),
        json=tuple(
            (parse_pointer(text, f"{where}: json"), _wanted(value, f"{where}: json {text!r}"))
            for text, value in json.items()
        ),
        absent=tuple(name for name in absent if not name.startswith("/")),
        absent_members=tuple(
            parse_pointer(text, f"{where}: absent") for text in absent if text.startswith("/")
        ),
    )
    _check_names([name for name, _ in rules.form], rules.absent, where)
    for one, other in combinations(
        [*(pointer for pointer, _ in rules.json), *rules.absent_members], 2
    ):
        shared = min(len(one), len(other))
        if one[:shared] == other[:shared]:
            raise ValueError(f"{where}: /{'/'.join(one)} and /{'/'.join(other)} are one place")
    for pointer, _ in rules.json:
        if any(same_parameter(token, name) for token in pointer for name in rules.absent):
            raise ValueError(f"{where}: /{'/'.join(pointer)} is wanted, and may not be there")
    if rules.absent_members and not rules.takes_json:
        raise ValueError(f"{where}: a pointer in absent is for JSON, which the row does not take")
    return rules if form or json or absent else None


def _check_names(form: list[str], absent: tuple[str, ...], where: str) -> None:
    if "" in form or "" in absent:
        raise ValueError(f"{where}: a field without a name cannot be told from others")
    for one, other in combinations([*form, *absent], 2):
        if same_parameter(one, other):
            raise ValueError(f"{where}: {one!r} and {other!r} are one name to some backends")


def parse_pointer(text: str, where: str) -> Pointer:
    """The tokens of a JSON pointer (RFC 6901) to a member, not to the whole document.

    Raises ValueError, which begins with `where`.
    """
    if not text.startswith("/") or _BAD_TILDE.search(text):
        raise ValueError(f"{where}: {text!r} is no JSON pointer, as in '/variables/id'")
    # In this order (section 4): "~01" is "~1".
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def _wanted(value: FieldValue, where: str) -> Wanted:
    if isinstance(value, str):
        return Wanted(parse_slot(value, where))
    if not value:
        raise ValueError(f"{where}: none of no values fits")
    return Wanted(None, frozenset(value))
