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


SPECIFIC = (
    "/**",
    "/a/**",
    "/a/{name}",
    "/a/{workorder}",
    "/a/new",
    "/a/{workorder}.json",
    "/a/b/{name}",
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
    # Whatever order they are written in.
    for written in (SPECIFIC, SPECIFIC[::-1]):
        table = RouteTable([row(path) for path in written])
        assert len(table) == len(SPECIFIC)
        assert first(table, target) == expected


def test_a_rows_query_tells_it_from_another_of_the_same_path() -> None:
    table = RouteTable([row("/show"), row(OPEN), row(STRICT), row(FIXED)])
    assert first(table, "/show?id=42") == STRICT
    assert first(table, "/show?id=42&x=1") == OPEN
    assert first(table, "/show?action=view&id=42") == FIXED
    assert first(table, "/show?x=1") == "/show"
    assert first(table, "/show") == "/show"


def test_methods_have_rows_of_their_own() -> None:
    table = RouteTable([row("/a", "GET"), row("/{name}", "POST"), row("/a", "PATCH", "PUT")])
    assert first(table, "/a", "GET") == first(table, "/a", "HEAD") == "/a"
    assert first(table, "/a", "POST") == "/{name}"
    assert first(table, "/a", "PUT") == first(table, "/a", "PATCH") == "/a"
    assert first(table, "/a", "DELETE") is None
    assert first(table, "/b", "PUT") is None


@pytest.mark.parametrize(
    ("pattern", "path", "workorders"),
    [
        pytest.param("/a/{workorder}", "/a/42", ("42",), id="a whole segment"),
        pytest.param("/a/{name}", "/a/42", (), id="a name binds nothing"),
        pytest.param("/a/WO-{workorder}.json", "/a/WO-42.json", ("42",), id="text around it"),
        pytest.param("/a/WO-{workorder}.json", "/a/WO-1234567", None, id="the end is missing"),
        pytest.param(
            "/a/WO-{workorder}.json", "/a/1234567.json", None, id="the beginning is missing"
        ),
        pytest.param("/a/WO-{workorder}.json", "/a/WO-.json", None, id="nothing between"),
        pytest.param("/a/x{workorder}x", "/a/x", None, id="the beginning is not the end"),
        pytest.param("/a/X{workorder}X", "/a/X42X", ("42",), id="any text around it"),
        pytest.param("/{workorder}/{workorder}", "/1/2", ("1", "2"), id="each that is named"),
        pytest.param("/a/**", "/a/b/c", (), id="the rest"),
        pytest.param("/a/**", "/a/", (), id="an empty rest after a slash"),
        pytest.param("/a/**", "/a", None, id="no rest"),
        pytest.param("/a/**", "/b/c", None, id="a rest of something else"),
        pytest.param("/a/", "/a/", (), id="a slash at the end"),
        pytest.param("/a/", "/a", None, id="which is significant"),
        pytest.param("/", "/", (), id="the root"),
    ],
)
def test_paths(pattern: str, path: str, workorders: tuple[str, ...] | None) -> None:
    match = row(pattern).match(path[1:].split("/"), None)
    assert (match.workorders if match else None) == workorders


def test_a_match_names_only_the_links_own() -> None:
    match = row("/{workorder}/{workorder}").match(["1", "2"], None)
    assert match is not None
    assert (match.names_only("1"), match.names_only("2")) == (False, False)
    same = row("/{workorder}/{workorder}").match(["1", "1"], None)
    assert same is not None
    assert (same.names_only("1"), same.names_only("2")) == (True, False)
    free = row("/a").match(["a"], None)
    assert free is not None
    assert free.names_only("1")


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
        pytest.param(
            "/show?**&id={workorder}", "/show?x=1&id=42", ("42",), id="others are named first"
        ),
        pytest.param("/show?**&id={workorder}", "/show?x=1", None, id="and bind it all the same"),
        pytest.param("/show?**", "/show?x=1", (), id="others alone"),
        pytest.param("/{workorder}?id={workorder}", "/1?id=2", ("1", "2"), id="path and query"),
        pytest.param("/show?Xid={workorder}", "/show?Xid=1", ("1",), id="any name"),
        pytest.param("/show?id={workorder}=x", "/show?id=1=x", ("1",), id="an equals sign"),
        pytest.param("/show?id=n-{name}", "/show?id=n-1", (), id="a name in the query"),
        pytest.param(STRICT, "/show?id=%c3%a9", ("é",), id="escapes in lower case"),
        pytest.param(STRICT, "/show?id=%C3%A9", ("é",), id="escapes in upper case"),
        pytest.param(STRICT, "/show?id=a+b", ("a b",), id="a plus is a blank"),
        pytest.param(STRICT, "/show?&&id=42&", ("42",), id="empty parts are nothing"),
        pytest.param(STRICT, "/show?id", None, id="a name without a value"),
        pytest.param(OPEN, "/show?id=42&identity=1&xid=2", ("42",), id="longer names are others"),
        pytest.param("/list", "/list?anything=1;2", (), id="no query in the pattern: any passes"),
    ],
)
def test_queries(pattern: str, target: str, workorders: tuple[str, ...] | None) -> None:
    path, mark, query = target.partition("?")
    match = row(pattern).match(path[1:].split("/"), query if mark else None)
    assert (match.workorders if match else None) == workorders


@pytest.mark.parametrize(
    "query", ["id=42;id=43", "id=4%2", "id=%4g", "id=%", "id=%ff", "%ff=42", ";"]
)
def test_a_query_that_backends_read_differently_is_refused(query: str) -> None:
    with pytest.raises(Refusal, match="bad_request: The query ") as refused:
        row(STRICT).match(["show"], query)
    sentences = {
        "bad_request: The query can be read in more than one way.",
        "bad_request: The query is not UTF-8.",
    }
    assert str(refused.value) in sentences


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
        pytest.param(["GET"], "/a/x}", "view", "final", id="a closing brace"),
        pytest.param(["GET"], "/a/x*", "view", "final", id="a star"),
        pytest.param(["GET"], "/a/{x}}", "view", "stray", id="a brace too many"),
        pytest.param(["GET"], "/a/*{x}", "view", "stray", id="a star beside a placeholder"),
        pytest.param(["GET"], "/a/./b", "view", "dot segment", id="a single dot"),
        pytest.param(
            ["GET"], "/a//**", "view", "empty segment", id="an empty segment before a rest"
        ),
        pytest.param(["GET"], "/a?=1", "view", "name=value", id="no name"),
        pytest.param(["GET"], "/a?{x}=1", "view", "name=value", id="a placeholder for a name"),
        pytest.param(["GET"], "/a?id[]=1", "view", "name=value", id="an array"),
        pytest.param(["GET"], "/a?id=x}", "view", "final", id="a brace in a value"),
        pytest.param(["GET", "X Y"], "/a", "view", "not a method", id="a blank in a method"),
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
    with pytest.raises(ValueError, match=said.replace("*", r"\*")) as fault:
        Route.parse(methods, path, VIEW, action)
    # Which row it is, and one sentence.
    assert path in str(fault.value)
    assert "XX" not in str(fault.value)


def test_the_actions_that_there_are_are_listed() -> None:
    with pytest.raises(ValueError, match="approve, asset, comment, download, history, reject, upl"):
        Route.parse(["GET"], "/a", VIEW, "look")


def test_a_websocket_is_opened_with_get() -> None:
    assert row("/live", "GET", websocket=True).websocket
    with pytest.raises(ValueError, match="/live: a WebSocket is opened with GET"):
        row("/live", "POST", websocket=True)


def test_a_row_is_what_was_written() -> None:
    made = Route.parse(["GET"], "/a/**", VIEW, "view")
    assert (made.methods, made.path, made.permission, made.action) == (
        {"GET", "HEAD"},
        "/a/**",
        VIEW,
        "view",
    )
    assert (made.cacheable, made.websocket, made.has_rest) == (False, False, True)
    asset = Route.parse(["POST"], "/b", None, "asset", cacheable=True)
    assert (asset.methods, asset.permission, asset.cacheable) == ({"POST"}, None, True)


@pytest.mark.parametrize("methods", [["POST"], ["GET", "POST"], ["PUT"]])
def test_a_body_must_not_name_a_second_work_order(methods: list[str]) -> None:
    said = "is for GET: the body of another method could name a second one"
    with pytest.raises(ValueError, match=said):
        Route.parse(methods, STRICT, VIEW, "comment")


def test_a_post_bound_in_path_and_query_is_allowed() -> None:
    assert Route.parse(["POST"], "/a/{workorder}?id={workorder}", VIEW, "comment").match(
        ["a", "1"], "id=1"
    )


def test_the_default_table_is_the_specifications() -> None:
    record = "/workorders/{workorder}"
    told = {
        (*sorted(r.methods), r.path, r.permission, r.action, r.cacheable, r.websocket)
        for r in default_routes()
    }
    view, history = Permission.VIEW_DETAILS, Permission.VIEW_HISTORY
    comment, upload = Permission.ADD_COMMENTS, Permission.UPLOAD_FILES
    approve = Permission.APPROVE_REJECT
    assert told == {
        ("GET", "HEAD", record, view, "view", False, False),
        ("GET", "HEAD", f"{record}/comments", view, "view", False, False),
        ("POST", f"{record}/comments", comment, "comment", False, False),
        ("GET", "HEAD", f"{record}/files/**", view, "download", False, False),
        ("POST", f"{record}/files", upload, "upload", False, False),
        ("GET", "HEAD", f"{record}/history", history, "history", False, False),
        ("POST", f"{record}/approve", approve, "approve", False, False),
        ("POST", f"{record}/reject", approve, "reject", False, False),
        ("GET", "HEAD", "/static/**", None, "asset", True, False),
    }


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
    match = RouteTable(default_routes()).match(method, target[1:].split("/"), None)
    assert (match.route.action if match else None) == action
