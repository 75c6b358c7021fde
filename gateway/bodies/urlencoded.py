"""A form as browsers send it by default: `application/x-www-form-urlencoded`."""

from __future__ import annotations

import re

from gateway.bodies.fitting import FormFields, ambiguous
from gateway.links.parameters import parse_parameters

# What is to be escaped in a form, but for the space that scripts leave as it is: bytes above 0x7E
# are in a character set that is not told, a line's end is dropped by some programs.
_UNESCAPED = re.compile(rb"[^\x20-\x7e]")


def judge_urlencoded(body: bytes, fields: FormFields) -> None:
    """Judge a whole form. Raises Refusal, as `FormFields` does."""
    if _UNESCAPED.search(body):
        raise ambiguous()
    for name, value in parse_parameters(body.decode("ascii"), "form"):
        if fields.meet(name):
            fields.take(name, value)
    fields.judge()
