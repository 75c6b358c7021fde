"""What may pass, as a table of rows, and which row a request meets.

A row names methods, a path pattern, the permission that it needs and the action that it is. The
most specific row that fits decides; what no row fits does not pass. Patterns:

`/workorders/{workorder}`      a segment that has to be the link's own work order
`/files/{name}`                any one segment, not empty
`/static/**`                   the rest, at least one segment (which may be empty after a slash)
`/issues/{workorder}.json`     a placeholder may have text before and after it in its segment
`/show?id={workorder}`         exactly these parameters, each exactly once, ...
`/show?id={workorder}&**`      ... or others, too
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import product
from urllib.parse import unquote_to_bytes

from gateway.errors import Refusal
from gateway.links.model import Permission
from gateway.links.verdict import Reason

ACTIONS = frozenset(
    {"view", "comment", "upload", "download", "history", "approve", "reject", "asset"}
)
WORKORDER = "workorder"
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*")


class _Kind(IntEnum):
    """How much a segment's pattern says, from the least on."""

    NAME = 1
    WORKORDER = 2
    LITERAL = 3


@dataclass(frozen=True, slots=True)
class _Slot:
    """One place of a pattern: a literal, or a placeholder with text around it."""

    kind: _Kind
    before: str
    after: str = ""

    def capture(self, value: str) -> str | None:
        """What the placeholder stands for in `value`; for a literal the value; None: no fit."""
        if self.kind is _Kind.LITERAL:
            return value if value == self.before else None
        if not (value.startswith(self.before) and value.endswith(self.after)):
            return None
        inner = value[len(self.before) : len(value) - len(self.after)]
        return inner or None

    @property
    def weight(self) -> tuple[int, int]:
        return self.kind, len(self.before) + len(self.after)


def _parse_slot(text: str, where: str) -> _Slot:
    placeholders = _PLACEHOLDER.findall(text)
    if len(placeholders) > 1:
        raise ValueError(f"{where}: a segment can hold one placeholder, not {len(placeholders)}")
    if not placeholders:
        if "{" in text or "}" in text or "*" in text:
            raise ValueError(f"{where}: {text!r} is neither text, a {{name}} nor a final '**'")
        return _Slot(_Kind.LITERAL, text)
    before, _, after = text.partition(f"{{{placeholders[0]}}}")
    if any(c in before + after for c in "{}*"):
        raise ValueError(f"{where}: {text!r} has a stray brace or star")
    kind = _Kind.WORKORDER if placeholders[0] == WORKORDER else _Kind.NAME
    return _Slot(kind, before, after)


@dataclass(frozen=True, slots=True)
class _Query:
    """A pattern's query: the parameters that it names, and whether others may stand beside."""

    slots: tuple[tuple[str, _Slot], ...]
    others: bool

    def capture(self, query: str | None) -> list[tuple[_Slot, str]] | None:
        """What each placeholder stands for, or None if the query does not fit."""
        found: dict[str, str] = {}
        for name, value in parse_query(query):
            wanted = next((n for n, _ in self.slots if _same_parameter(name, n)), None)
            if wanted is None:
                if not self.others:
                    return None
                continue
            # Twice, or under a spelling that some frameworks take for the same name: which one
            # the backend would read is anybody's guess.
            if name != wanted or wanted in found:
                return None
            found[wanted] = value
        captured = []
        for name, slot in self.slots:
            inner = slot.capture(found[name]) if name in found else None
            if inner is None:
                return None
            captured.append((slot, inner))
        return captured


def _same_parameter(sent: str, named: str) -> bool:
    """Whether some backend reads the parameter `sent` as `named` (`ID`, `id[]`, `id.0`, ` id`)."""
    plain = sent.strip().casefold()
    base = re.split(r"[\[.\x00]", plain)[0]
    return plain == named.casefold() or base == named.casefold()


def parse_query(query: str | None) -> list[tuple[str, str]]:
    """The parameters of a query as a form would send it, decoded.

    Raises Refusal (`bad_request`) for what backends read differently: a `;` (a second separator
    to some), bad escapes, bytes that are not UTF-8. Called only where a row names parameters.
    """
    if not query:
        return []
    if ";" in query or re.search(r"%(?![0-9A-Fa-f]{2})", query):
        raise Refusal(Reason.BAD_REQUEST, "The query can be read in more than one way.")
    pairs = []
    for part in query.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        pairs.append((_decode(name), _decode(value)))
    return pairs


def _decode(text: str) -> str:
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal(Reason.BAD_REQUEST, "The query is not UTF-8.") from None


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table. `permission` None means that a session is enough."""

    methods: frozenset[str]
    path: str
    permission: Permission | None
    action: str
    cacheable: bool
    websocket: bool
    slots: tuple[_Slot, ...]
    has_rest: bool
    query: _Query | None

    @classmethod
    def parse(
        cls,
        methods: Iterable[str],
        path: str,
        permission: Permission | None,
        action: str,
        *,
        cacheable: bool = False,
        websocket: bool = False,
    ) -> Route:
        """Compile a row. Raises ValueError, which says what is wrong with it."""
        verbs = frozenset(methods)
        if not verbs:
            raise ValueError(f"{path}: no method is named")
        for verb in verbs:
            if not _METHOD.fullmatch(verb) or verb in {"CONNECT", "TRACE"}:
                raise ValueError(f"{path}: {verb!r} is not a method that can pass")
        if action not in ACTIONS:
            raise ValueError(f"{path}: action {action!r} is none of {', '.join(sorted(ACTIONS))}")
        if websocket and "GET" not in verbs:
            raise ValueError(f"{path}: a WebSocket is opened with GET, which the row does not name")
        if "GET" in verbs:
            verbs |= {"HEAD"}
        slots, has_rest, query = _parse_pattern(path)
        in_path = any(s.kind is _Kind.WORKORDER for s in slots)
        in_query = query is not None and any(s.kind is _Kind.WORKORDER for _, s in query.slots)
        if in_query and not in_path and not verbs <= {"GET", "HEAD"}:
            raise ValueError(
                f"{path}: a row that names the work order only in the query is for GET: the body "
                "of another method could name a second one"
            )
        return cls(verbs, path, permission, action, cacheable, websocket, slots, has_rest, query)

    @property
    def weight(self) -> tuple[object, ...]:
        """Sorts the more specific of two rows later: by the first segment that tells them apart."""
        query = len(self.query.slots) if self.query else 0
        strict = self.query is not None and not self.query.others
        return tuple(s.weight for s in self.slots), not self.has_rest, query, strict

    def has_length(self, segments: int) -> bool:
        """Whether a path of so many segments can fit; `**` is at least one."""
        return segments > len(self.slots) if self.has_rest else segments == len(self.slots)

    def match(self, segments: Sequence[str], query: str | None) -> Match | None:
        """What the request's path and query are to this row, or None if they do not fit."""
        slots = self.slots
        if not self.has_length(len(segments)):
            return None
        workorders: list[str] = []
        for slot, segment in zip(slots, segments, strict=False):
            inner = slot.capture(segment)
            if inner is None:
                return None
            if slot.kind is _Kind.WORKORDER:
                workorders.append(inner)
        if self.query is not None:
            captured = self.query.capture(query)
            if captured is None:
                return None
            workorders += [inner for slot, inner in captured if slot.kind is _Kind.WORKORDER]
        return Match(self, tuple(workorders))


def _parse_pattern(pattern: str) -> tuple[tuple[_Slot, ...], bool, _Query | None]:
    path, mark, query = pattern.partition("?")
    if not path.startswith("/"):
        raise ValueError(f"{pattern!r}: a pattern starts with '/'")
    parts = path[1:].split("/")
    has_rest = parts[-1] == "**"
    if has_rest:
        parts.pop()
    if "" in parts[:-1] or (has_rest and "" in parts) or {".", ".."} & set(parts):
        raise ValueError(f"{pattern}: an empty segment or a dot segment never arrives")
    slots = tuple(_parse_slot(part, pattern) for part in parts)
    if not mark:
        return slots, has_rest, None
    others = False
    named: list[tuple[str, _Slot]] = []
    for part in query.split("&"):
        if part == "**":
            others = True
            continue
        name, equals, value = part.partition("=")
        if not name or not equals or any(c in name for c in "{}*[]%"):
            raise ValueError(f"{pattern}: {part!r} is not 'name=value'")
        if name in dict(named):
            raise ValueError(f"{pattern}: {name!r} is named twice")
        named.append((name, _parse_slot(value, pattern)))
    return slots, has_rest, _Query(tuple(named), others)


@dataclass(frozen=True, slots=True)
class Match:
    """A request that met `route`; `workorders` are the values where the row wants the link's own."""

    route: Route
    workorders: tuple[str, ...]

    def names_only(self, workorder: str) -> bool:
        """Whether every work order that the request names is this one."""
        return all(named == workorder for named in self.workorders)


class RouteTable:
    """The rows of one upstream, most specific first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(sorted(routes, key=lambda r: r.weight, reverse=True))
        self._longest = max((len(route.slots) for route in self.routes), default=0) + 1
        # By method and number of segments: what cannot fit need not be tried.
        self._candidates: dict[tuple[str, int], list[Route]] = {}
        for route in self.routes:
            for method, length in product(route.methods, range(self._longest + 1)):
                if route.has_length(length):
                    self._candidates.setdefault((method, length), []).append(route)

    def match(self, method: str, segments: Sequence[str], query: str | None) -> Match | None:
        """The first row, most specific first, that fits the request."""
        length = min(len(segments), self._longest)
        for route in self._candidates.get((method, length), ()):
            match = route.match(segments, query)
            if match is not None:
                return match
        return None

    def __len__(self) -> int:
        return len(self.routes)


def default_routes() -> list[Route]:
    """The table for a backend that keeps its records at `/workorders/{workorder}`."""
    view, history = Permission.VIEW_DETAILS, Permission.VIEW_HISTORY
    comment, upload = Permission.ADD_COMMENTS, Permission.UPLOAD_FILES
    approve = Permission.APPROVE_REJECT
    record = "/workorders/{workorder}"
    return [
        Route.parse(["GET"], record, view, "view"),
        Route.parse(["GET"], f"{record}/comments", view, "view"),
        Route.parse(["POST"], f"{record}/comments", comment, "comment"),
        Route.parse(["GET"], f"{record}/files/**", view, "download"),
        Route.parse(["POST"], f"{record}/files", upload, "upload"),
        Route.parse(["GET"], f"{record}/history", history, "history"),
        Route.parse(["POST"], f"{record}/approve", approve, "approve"),
        Route.parse(["POST"], f"{record}/reject", approve, "reject"),
        Route.parse(["GET"], "/static/**", None, "asset", cacheable=True),
    ]
