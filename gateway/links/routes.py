"""What may pass, as a table of rows, and which row a request meets.

A row names methods, a path pattern, the permission that it needs and the action that it is. The
most specific row that fits decides; what no row fits does not pass. Patterns:

`/workorders/{workorder}`      a segment that has to be the link's own work order
`/files/{name}`                any one segment, not empty
`/static/**`                   the rest, at least one segment (which may be empty after a slash)
`/issues/{workorder}.json`     a placeholder may have text before and after it in its segment
`/show?id={workorder}`         exactly these parameters, each exactly once, ...
`/show?id={workorder}&**`      ... or others, too

What a row wants of the body (`gateway.links.body_rules`) is judged once the body arrives, by this row
alone: no other is tried then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from gateway.links.body_rules import BodyRules, FieldValue, parse_body_rules
from gateway.links.model import Permission
from gateway.links.parameters import parse_query, same_parameter
from gateway.links.slots import Kind, Slot, parse_slot

ACTIONS = frozenset(
    {"view", "comment", "upload", "download", "history", "approve", "reject", "asset"}
)
_METHOD = re.compile(r"[A-Z]+(?:-[A-Z]+)*")


@dataclass(frozen=True, slots=True)
class _Query:
    """A pattern's query: the parameters that it names, and whether others may stand beside."""

    slots: tuple[tuple[str, Slot], ...]
    others: bool

    def capture(self, query: str | None) -> list[tuple[Slot, str]] | None:
        """What each placeholder stands for, or None if the query does not fit."""
        found: dict[str, str] = {}
        for name, value in parse_query(query):
            wanted = next((n for n, _ in self.slots if same_parameter(name, n)), None)
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


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table. `permission` None means that a session is enough."""

    methods: frozenset[str]
    path: str
    permission: Permission | None
    action: str
    cacheable: bool
    websocket: bool
    slots: tuple[Slot, ...]
    has_rest: bool
    query: _Query | None
    body: BodyRules | None = None

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
        form: Mapping[str, FieldValue] | None = None,
        json: Mapping[str, FieldValue] | None = None,
        absent: Iterable[str] = (),
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
        body = parse_body_rules(form or {}, json or {}, tuple(absent), path)
        in_path = any(s.kind is Kind.WORKORDER for s in slots)
        _check_body(path, verbs, query, body, in_path=in_path)
        return cls(
            verbs, path, permission, action, cacheable, websocket, slots, has_rest, query, body
        )

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
            if slot.kind is Kind.WORKORDER:
                workorders.append(inner)
        if self.query is not None:
            captured = self.query.capture(query)
            if captured is None:
                return None
            workorders += [inner for slot, inner in captured if slot.kind is Kind.WORKORDER]
        return Match(self, tuple(workorders))

    def is_spoiled_by(self, query: str | None) -> bool:
        """Whether the query has a name that is judged in the body, or may be nowhere.

        What the row's own pattern binds in the query is judged there. Raises Refusal
        (`bad_request`).
        """
        if self.body is None or not query:
            return False
        bound = {name for name, _ in self.query.slots} if self.query else set()
        names = [name for name in self.body.names if name not in bound]
        return any(
            same_parameter(sent, name)
            for sent, _ in parse_query(query)
            if sent not in bound
            for name in names
        )


def _parse_pattern(pattern: str) -> tuple[tuple[Slot, ...], bool, _Query | None]:
    path, mark, query = pattern.partition("?")
    if not path.startswith("/"):
        raise ValueError(f"{pattern!r}: a pattern starts with '/'")
    parts = path[1:].split("/")
    has_rest = parts[-1] == "**"
    if has_rest:
        parts.pop()
    if "" in parts[:-1] or (has_rest and "" in parts) or {".", ".."} & set(parts):
        raise ValueError(f"{pattern}: an empty segment or a dot segment never arrives")
    slots = tuple(parse_slot(part, pattern) for part in parts)
    if not mark:
        return slots, has_rest, None
    others = False
    named: list[tuple[str, Slot]] = []
    for part in query.split("&"):
        if part == "**":
            others = True
            continue
        name, equals, value = part.partition("=")
        if not name or not equals or any(c in name for c in "{}*[]%"):
            raise ValueError(f"{pattern}: {part!r} is not 'name=value'")
        if name in dict(named):
            raise ValueError(f"{pattern}: {name!r} is named twice")
        named.append((name, parse_slot(value, pattern)))
    return slots, has_rest, _Query(tuple(named), others)


def _check_body(
    path: str,
    verbs: frozenset[str],
    query: _Query | None,
    body: BodyRules | None,
    *,
    in_path: bool,
) -> None:
    """Raise ValueError where a body could name another record than the query, or is not to be."""
    if body is not None and body.wants_body and "GET" in verbs:
        raise ValueError(f"{path}: a request with GET has no body that form or json could judge")
    if query is None or in_path or verbs <= {"GET", "HEAD"}:
        return
    for name, slot in query.slots:
        if slot.kind is Kind.WORKORDER and not (body and body.judges_parameter(name)):
            raise ValueError(
                f"{path}: a row that names the work order only in the query is for GET: the body "
                f"of another method could name a second one, unless form, json or absent say of "
                f"{name!r} what may stand there"
            )


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
                # Another row, which would ask for less, is no way around what this one refuses.
                return None if route.is_spoiled_by(query) else match
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
