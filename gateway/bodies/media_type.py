"""The one parse of `Content-Type` (RFC 9110 section 8.3), where a body is judged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.errors import Refusal
from gateway.links.verdict import Reason

# A token (RFC 9110 section 5.6.2).
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"({_WORD}/{_WORD})((?:[ \t]*;[ \t]*{_WORD}=(?:{_WORD}|\"[^\"\\]*\"))*)")
_PARAMETER = re.compile(rf"({_WORD})=(?:({_WORD})|\"([^\"\\]*)\")")
# Of the characters that RFC 2046 section 5.1.1 allows, those that every program reads alike.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,70}")

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class MediaType:
    """`name` and the parameters' names are in lower case."""

    name: str
    parameters: dict[str, str] = field(default_factory=dict)

    @property
    def is_json(self) -> bool:
        """Whether it is JSON, or something written in it (RFC 6839 section 3.1)."""
        return self.name == JSON or self.name.endswith("+json")


def parse_media_type(values: Sequence[str]) -> MediaType | None:
    """What the header's values say; None if there is none.

    Raises Refusal (`bad_request`) for several, for what cannot be parsed, and for a parameter
    that is there twice, or that says of a judged body what not every backend would believe: any
    character set but UTF-8 is one.
    """
    if not values:
        return None
    text = values[0].strip(" \t")
    if len(values) > 1 or not text.isascii() or not (match := _TYPE.fullmatch(text)):
        raise _bad()
    parameters: dict[str, str] = {}
    for name, token, quoted in _PARAMETER.findall(match[2]):
        if name.lower() in parameters:
            raise _bad()
        parameters[name.lower()] = token or quoted
    media_type = MediaType(match[1].lower(), parameters)
    known = {"charset", "boundary"} if media_type.name.startswith("multipart/") else {"charset"}
    if parameters.keys() - known or parameters.get("charset", "utf-8").lower() != "utf-8":
        raise _bad()
    return media_type


def boundary_of(media_type: MediaType) -> bytes:
    """The boundary of a multipart body. Raises Refusal (`bad_request`)."""
    boundary = media_type.parameters.get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise _bad()
    return boundary.encode("ascii")


def _bad() -> Refusal:
    return Refusal(Reason.BAD_REQUEST, "The body's type can be read in more than one way.")
