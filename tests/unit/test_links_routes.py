"""Routes: which row a request meets, and what a row may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Refusal
from gateway.links.model import Permission
from gateway.links.routes import Route, RouteTable, default_routes, parse_query

VIEW = Permission.VIEW_DETAILS


def row(path: str, *methods: str, websocket: bool = False) -> Route:
    return Route.parse(methods or ("GET",), path, VIEW, "view", websocket=websocket)


def first(table: RouteTable, target: str, method: str = "GET") -> str | None:
    path, mark, query = target.partition("?")
    match = table.match(method, path[1:].split("/"), query if mark else None)
    return match.route.path if match else None


SPECIFIC = RouteTable(
    [
        row("/**"),
        row("/a/**"),
        row("/a/{name}"),
        row("/a/{workorder}"),
        row("/a/new"),
        row("/a/{workorder}.json"),
        row("/a/b/{name}"),
    ]
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("/a/new", "/a/new", id="a literal before a placeholder"),
        pytest.param("/a/42", "/a/{workorder}", id="the work order before a name"),
        pytest.param("/a/42.json", "/a/{workorder}.json", id="a placeholder with more text"),
        pytest.param("/a/b/c", "/a/b/{name}", id="a longer literal"),
        pytest.param("/a/b/c/d", "/a/**", id="the rest"),
        pytest.param("/a/b/", "/a/**", id="a name is not empty"),
        pytest.param("/z", "/**", id="anything"),
        pytest.param("/", "/**", id="the root is an empty rest"),
    ],
)
def test_the_most_specific_row_decides(target: str, expected: str) -> None:
    assert first(SPECIFIC, target) == expected


STRICT = "/show?id={workorder}"
OPEN = "/show?id={workorder}&**"
FIXED = "/show?action=view&id={workorder}"


@pytest.mark.parametrize(
    ("pattern", "target", "workorders"),
    [
        pytest.param(STRICT, "/show?id=42", ("42",), id="the parameter"),
        pytest.param(STRICT, "/show?%69d=4%32", ("42",), id="decoded before it is compared"),
        pytest.param(
            STRICT, "/show?id=43", ("43",), id="another record is captured, to be refused"
        ),
        pytest.param(STRICT, "/show", None, id="no query"),
        pytest.param(STRICT, "/show?", None, id="an empty query"),
        pytest.param(STRICT, "/show?id=", None, id="an empty value"),
        pytest.param(STRICT, "/show?id=42&id=43", None, id="twice"),
        pytest.param(STRICT, "/show?id=42&ID=43", None, id="twice in another case"),
        pytest.param(STRICT, "/show?ID=42", None, id="another case alone"),
        pytest.param(STRICT, "/show?id[]=42", None, id="an array"),
        pytest.param(STRICT, "/show?id=42&x=1", None, id="another parameter"),
        pytest.param(OPEN, "/show?id=42&x=1", ("42",), id="others are allowed"),
        pytest.param(OPEN, "/show?x=1&id=42", ("42",), id="in any order"),
        pytest.param(OPEN, "/show?id=42&id[]=43", None, id="an array beside it"),
        pytest.param(OPEN, "/show?id=42&id.x=43", None, id="a dotted spelling beside it"),
        pytest.param(OPEN, "/show?id=42&+id=43", None, id="a blank before it"),
        pytest.param(OPEN, "/show?id=42&id%00=43", None, id="a NUL after it"),
        pytest.param(FIXED, "/show?id=42&action=view", ("42",), id="a fixed value"),
        pytest.param(FIXED, "/show?id=42&action=edit", None, id="another value"),
        pytest.param("/list", "/list?anything=1;2", (), id="no query in the pattern: any passes"),
    ],
)
def test_queries(pattern: str, target: str, workorders: tuple[str, ...] | None) -> None:
    path, mark, query = target.partition("?")
    match = row(pattern).match(path[1:].split("/"), query if mark else None)
    assert (match.workorders if match else None) == workorders


@pytest.mark.parametrize("query", ["id=42;id=43", "id=4%2", "id=%ff"])
def test_a_query_that_backends_read_differently_is_refused(query: str) -> None:
    with pytest.raises(Refusal, match="bad_request"):
        row(STRICT).match(["show"], query)


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_parse_query_reads_what_a_form_sends(pairs: list[tuple[str, str]]) -> None:
    from urllib.parse import urlencode

    try:
        query = urlencode(pairs)
    except UnicodeEncodeError:
        return
    assert parse_query(query) == pairs


@pytest.mark.parametrize(
    ("methods", "path", "action", "said"),
    [
        pytest.param([], "/a", "view", "no method", id="no method"),
        pytest.param(["get"], "/a", "view", "not a method", id="lower case"),
        pytest.param(["CONNECT"], "/a", "view", "not a method", id="CONNECT"),
        pytest.param(["TRACE"], "/a", "view", "not a method", id="TRACE"),
        pytest.param(["GET"], "a", "view", "starts with '/'", id="no slash"),
        pytest.param(["GET"], "/a//b", "view", "empty segment", id="an empty segment"),
        pytest.param(["GET"], "/a/../b", "view", "dot segment", id="a dot segment"),
        pytest.param(["GET"], "/a/**/b", "view", "final '**'", id="a rest in the middle"),
        pytest.param(["GET"], "/a/{x}{y}", "view", "one placeholder", id="two placeholders"),
        pytest.param(["GET"], "/a/{x", "view", "final", id="a brace"),
        pytest.param(["GET"], "/a", "look", "action 'look'", id="an unknown action"),
        pytest.param(["GET"], "/a?id", "view", "name=value", id="no value"),
        pytest.param(["GET"], "/a?id=1&id=2", "view", "twice", id="a parameter twice"),
        pytest.param(
            ["POST"],
            "/a?id={workorder}",
            "comment",
            "is for GET",
            id="POST bound by the query alone",
        ),
    ],
)
def test_a_bad_row_says_what_is_wrong(
    methods: list[str], path: str, action: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said.replace("*", r"\*")):
        Route.parse(methods, path, VIEW, action)


def test_a_post_bound_in_path_and_query_is_allowed() -> None:
    assert Route.parse(["POST"], "/a/{workorder}?id={workorder}", VIEW, "comment").match(
        ["a", "1"], "id=1"
    )


DEFAULT = RouteTable(default_routes())


@pytest.mark.parametrize(
    ("method", "target", "action"),
    [
        ("GET", "/workorders/42", "view"),
        ("HEAD", "/workorders/42", "view"),
        ("GET", "/workorders/42/comments", "view"),
        ("POST", "/workorders/42/comments", "comment"),
        ("GET", "/workorders/42/files/a/b.pdf", "download"),
        ("POST", "/workorders/42/files", "upload"),
        ("GET", "/workorders/42/history", "history"),
        ("POST", "/workorders/42/approve", "approve"),
        ("POST", "/workorders/42/reject", "reject"),
        ("GET", "/static/css/a.css", "asset"),
        ("GET", "/workorders/42/files", None),
        ("PUT", "/workorders/42", None),
        ("OPTIONS", "/workorders/42", None),
        ("POST", "/workorders/42", None),
        ("GET", "/workorders", None),
        ("GET", "/static", None),
        ("GET", "/", None),
    ],
)
def test_the_default_table(method: str, target: str, action: str | None) -> None:
    match = DEFAULT.match(method, target[1:].split("/"), None)
    assert (match.route.action if match else None) == action
