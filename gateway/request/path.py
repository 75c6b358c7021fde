"""The one parse of a request's target.

The bytes that the rules judge are the bytes that the backend gets, so whatever two programs are
known to read differently is refused here and never repaired: dot segments, empty segments,
encoded separators, double encoding, path parameters that hide one of these (`..;`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from gateway.errors import Refusal
from gateway.links.verdict import Reason

PORTAL_SEGMENT = "workorder"
TOKEN_PREFIX = "wpl_"  # noqa: S105 - the kind of a token, not one
GATE_SEGMENT = "-"

_TARGET_BYTES = re.compile(r"[\x21-\x7e]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DOUBLE_ESCAPE = re.compile(r"%25[0-9A-Fa-f]{2}")
# Encoded NUL and other controls, dot, slash, backslash, DEL.
_FORBIDDEN_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|2[eEfF]|5[cC]|7[fF])")
# What needs no further look: no escape, no parameter, no dot segment, nothing odd. Most paths.
_PLAIN = r"(?:/(?!\.{1,2}(?:[/?]|$))[A-Za-z0-9_.~!$&'()*+,=:@-]+)+/?|/"
_PLAIN_PATH = re.compile(_PLAIN)
_PLAIN_TARGET = re.compile(rf"({_PLAIN})(?:\?([!\"$-~]*))?")
_ABSOLUTE = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)(.*)")


@dataclass(frozen=True, slots=True)
class Target:
    """A request's target, parsed.

    `path` and `query` are the bytes as they were sent (`query` is None without a `?`);
    `segments` are the decoded segments, the last one empty after a trailing slash.
    """

    path: str
    query: str | None
    segments: tuple[str, ...]

    @property
    def path_qs(self) -> str:
        """The target in origin form, as sent."""
        return self.path if self.query is None else f"{self.path}?{self.query}"


@dataclass(frozen=True, slots=True)
class PortalPath:
    """A path that carries a token: `/workorder/{token}`, with what follows it.

    `rest` is the raw path after the token, from its slash on, or "" for the portal URL itself.
    `gate` is the name after `/-/`, where that is what follows.
    """

    token: str
    rest: str
    gate: str | None


def parse_target(raw: str, host: str) -> Target:
    """Parse the target of the request line (RFC 9112 section 3.2).

    `host` is the raw `Host` field, to which the authority of an absolute form has to be equal.
    Raises Refusal (`bad_request`) for everything that is not one unambiguous path.
    """
    if plain := _PLAIN_TARGET.fullmatch(raw):
        path, query = plain.groups()
        return Target(path, query, tuple(path[1:].split("/")))
    if not _TARGET_BYTES.fullmatch(raw):
        raise _bad("The address has a character that has to be percent-encoded.")
    if not raw.startswith("/"):
        raw = _origin_form(raw, host)
    if "#" in raw:
        raise _bad("The address has a fragment ('#').")
    path, mark, rest = raw.partition("?")
    return Target(path, rest if mark else None, parse_path(path))


def _origin_form(raw: str, host: str) -> str:
    absolute = _ABSOLUTE.fullmatch(raw)
    if absolute is None:
        raise _bad("The request's target is not a path.")
    if absolute[1].lower() != host.lower():
        raise _bad("The request names one host in its target and another in 'Host'.")
    rest = absolute[2]
    return rest if rest.startswith("/") else f"/{rest}"


def parse_path(path: str) -> tuple[str, ...]:
    """The decoded segments of an absolute path. Raises Refusal (`bad_request`)."""
    if _PLAIN_PATH.fullmatch(path):
        return tuple(path[1:].split("/"))
    if "\\" in path:
        raise _bad("The path has a backslash.")
    if _BAD_ESCAPE.search(path):
        raise _bad("The path has a '%' that is not an escape.")
    if _DOUBLE_ESCAPE.search(path):
        raise _bad("The path is encoded twice.")
    if _FORBIDDEN_ESCAPE.search(path):
        raise _bad("The path has an encoded slash, backslash, dot or control character.")
    raw_segments = path[1:].split("/")
    segments = tuple(_decode(segment) for segment in raw_segments)
    last = len(segments) - 1
    for position, segment in enumerate(segments):
        if segment == "" and position == last:
            continue  # a trailing slash
        if segment.partition(";")[0] in {"", ".", ".."}:
            raise _bad("The path has an empty segment or a dot segment.")
    return segments


def _decode(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise _bad("The path is not UTF-8.") from None


def portal_path(target: Target) -> PortalPath | None:
    """The token and what follows it, if the target's path carries one.

    Judged on the decoded segments: a token spelled with escapes is a token, too, and must not
    pass on to the backend as an ordinary path.
    """
    segments = target.segments
    if (
        len(segments) < 2
        or segments[0] != PORTAL_SEGMENT
        or not segments[1].startswith(TOKEN_PREFIX)
    ):
        return None
    after_token = target.path.split("/", 3)
    rest = f"/{after_token[3]}" if len(after_token) > 3 else ""
    gate = segments[3] if len(segments) == 4 and segments[2] == GATE_SEGMENT else None
    return PortalPath(segments[1], rest, gate)


def _bad(detail: str) -> Refusal:
    return Refusal(Reason.BAD_REQUEST, detail)
