"""Parameters as a form sends them: how they are read, and which names are one to some backend."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote, unquote_to_bytes

from gateway.errors import Refusal
from gateway.links.verdict import Reason

MAX_PARAMETERS = 1000
"""More of them in one form than PHP reads (`max_input_vars`), or Django."""

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_NESTING = re.compile(r"[\[\].:\x00]")
_BRACKETS = re.compile(r"[\[\]]")
_LONGEST_NAME = 256


def parse_query(query: str | None) -> list[tuple[str, str]]:
    """The parameters of a query, decoded. Called only where a row names parameters.

    Raises Refusal (`bad_request`) for what backends read differently.
    """
    return [] if not query else parse_parameters(query, "query")


def parse_parameters(text: str, what: str) -> list[tuple[str, str]]:
    """The parameters of `text` (`application/x-www-form-urlencoded`), decoded.

    Raises Refusal (`bad_request`), which calls the text `what`, for what backends read
    differently: a `;` (a second separator to some), bad escapes, bytes that are not UTF-8; and
    for more parameters than some backends would read.
    """
    if ";" in text or _BAD_ESCAPE.search(text):
        raise Refusal(Reason.BAD_REQUEST, f"The {what} can be read in more than one way.")
    if text.count("&") >= MAX_PARAMETERS:
        raise Refusal(Reason.BAD_REQUEST, f"The {what} has too many parameters.")
    pairs = []
    for part in text.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        pairs.append((_decode(name, what), _decode(value, what)))
    return pairs


def _decode(text: str, what: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(Reason.BAD_REQUEST, f"The {what} is not UTF-8.") from None


def same_parameter(sent: str, named: str) -> bool:
    """Whether some backend reads the parameter `sent` as `named`, as a part of it or around it.

    `ID`, ` id` and `id[]` are `id`; to PHP `work.order` is `work_order`, to Go every case is the
    same; `ticket` and `ticket[id][]` stand in the way of `ticket[id]`.
    """
    if sent == named:
        return True
    if len(sent) > _LONGEST_NAME:
        # Too long to be compared with care: what begins alike is taken for the same.
        return sent.strip().casefold().startswith(named.casefold())
    for one in {sent, unquote(sent)}:
        spelling, wanted = _spelling(one), _spelling(named)
        if _nested(spelling.parts, wanted.parts) or _nested(spelling.in_php, wanted.in_php):
            return True
    return False


def _nested(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one of the two is the other, or stands within it; `()` says nothing."""
    shared = min(len(one), len(other))
    return shared > 0 and one[:shared] == other[:shared]


class _Spelling:
    """A name as the backends that are known to fold names would read it."""

    __slots__ = ("in_php", "parts")

    def __init__(self, name: str) -> None:
        plain = name.strip().casefold()
        self.parts = _parts(_NESTING, plain)
        self.in_php = _parts(_BRACKETS, _as_php(plain.partition("\x00")[0]))


def _parts(separators: re.Pattern[str], name: str) -> tuple[str, ...]:
    """The names that stand within each other in `name`; what has none is an array's next place."""
    return tuple(part for part in map(str.strip, separators.split(name)) if part)


@lru_cache(maxsize=1024)
def _spelling(name: str) -> _Spelling:
    return _Spelling(name)


def _as_php(name: str) -> str:
    """PHP turns what cannot stand in the name of a variable into `_`: ` `, `.`, a lone `[`."""
    base, bracket, rest = name.partition("[")
    base = base.replace(" ", "_").replace(".", "_")
    if not bracket:
        return base
    return f"{base}[{rest}" if "]" in rest else f"{base}_{rest}"
