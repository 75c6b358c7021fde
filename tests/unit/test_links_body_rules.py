"""What a row may say of a body, and which names are one to some backend."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.links.body_rules import parse_body_rules, parse_pointer
from gateway.links.model import Permission
from gateway.links.parameters import same_parameter
from gateway.links.routes import Route, RouteTable

VIEW = Permission.VIEW_DETAILS


def row(path: str, *methods: str, **more: Any) -> Route:
    return Route.parse(methods or ("POST",), path, VIEW, "comment", **more)


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        pytest.param("id", "id", id="the same"),
        pytest.param("ID", "id", id="case"),
        pytest.param("\u0131d".upper(), "id", id="a capital that has two small letters"),
        pytest.param("\u212ay", "ky", id="the Kelvin sign is a k"),
        pytest.param(" id", "id", id="a space before it"),
        pytest.param("id ", "id", id="a space after it"),
        pytest.param("id[]", "id", id="an array"),
        pytest.param("id[0]", "id", id="an element"),
        pytest.param("id.0", "id", id="an element with a dot"),
        pytest.param("id:int", "id", id="a converter"),
        pytest.param("id\x00x", "id", id="NUL"),
        pytest.param("i%64", "id", id="escaped once more"),
        pytest.param(".method", "_method", id="PHP: a dot"),
        pytest.param("[method", "_method", id="PHP: a lone bracket"),
        pytest.param("work.order", "work_order", id="PHP: a dot within"),
        pytest.param("work order[]", "work_order", id="PHP: a space, in an array"),
        pytest.param("ticket", "ticket[id]", id="what stands around it"),
        pytest.param("ticket[id][]", "ticket[id]", id="what stands within it"),
        pytest.param("ticket.id", "ticket[id]", id="nested with a dot"),
        pytest.param("Ticket[ID]", "ticket[id]", id="nested, in another case"),
        pytest.param("ticket[][id]", "ticket[id]", id="nested in an array"),
        pytest.param("id[" + "x" * 300, "id", id="longer than any name"),
    ],
)
def test_names_that_are_one_to_some_backend(sent: str, named: str) -> None:
    assert same_parameter(sent, named)


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        pytest.param("ids", "id", id="longer"),
        pytest.param("grid", "id", id="its end"),
        pytest.param("", "id", id="none"),
        pytest.param("[]", "id", id="an array without a name"),
        pytest.param("ticket[subject]", "ticket[id]", id="beside it"),
        pytest.param("idea[id]", "id", id="within another"),
        pytest.param("x" * 300, "id", id="longer than any name"),
    ],
)
def test_names_that_are_not(sent: str, named: str) -> None:
    assert not same_parameter(sent, named)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("/variables/id", ("variables", "id"), id="a member of a member"),
        pytest.param("/a~1b/~0c", ("a/b", "~c"), id="escapes"),
        pytest.param("/~01", ("~1",), id="one after the other"),
        pytest.param("/", ("",), id="an empty name"),
    ],
)
def test_pointers(text: str, tokens: tuple[str, ...]) -> None:
    assert parse_pointer(text, "row") == tokens


ID = {"id": "{workorder}"}
AT_ID = {"/id": "{workorder}"}


@pytest.mark.parametrize(
    ("path", "methods", "more", "says"),
    [
        pytest.param("/a", ["POST"], {"json": {"id": "x"}}, "no JSON pointer", id="no slash"),
        pytest.param("/a", ["POST"], {"json": {"/a~2": "x"}}, "no JSON pointer", id="bad escape"),
        pytest.param("/a", ["POST"], {"json": {"": "x"}}, "no JSON pointer", id="the document"),
        pytest.param("/a", ["POST"], {"form": {"": "x"}}, "without a name", id="no name"),
        pytest.param("/a", ["POST"], {"form": {"id": ()}}, "no values", id="no values"),
        pytest.param("/a", ["POST"], {"form": {"id": "{a}{b}"}}, "one placeholder", id="two"),
        pytest.param("/a", ["POST"], {"form": {"id": "{"}}, "neither text", id="a stray brace"),
        pytest.param(
            "/a", ["POST"], {"form": {"id": "1", "ID": "2"}}, "one name", id="one name twice"
        ),
        pytest.param(
            "/a", ["POST"], {"form": ID, "absent": ["id[]"]}, "one name", id="wanted and absent"
        ),
        pytest.param(
            "/a", ["POST"], {"json": {"/a": "1", "/a/b": "2"}}, "one place", id="one place twice"
        ),
        pytest.param(
            "/a",
            ["POST"],
            {"json": {"/a/id": "1"}, "absent": ["id"]},
            "may not be",
            id="absent too",
        ),
        pytest.param(
            "/a", ["POST"], {"form": ID, "absent": ["/id"]}, "is for JSON", id="a pointer in a form"
        ),
        pytest.param("/a", ["GET"], {"form": ID}, "no body", id="GET with form"),
        pytest.param("/a", ["GET", "POST"], {"json": AT_ID}, "no body", id="GET with json"),
        pytest.param("/a?id={workorder}", ["POST"], {}, "'id'", id="only in the query"),
        pytest.param(
            "/a?id={workorder}", ["POST"], {"form": {"a": "x"}}, "'id'", id="the body could name it"
        ),
        pytest.param(
            "/a?id={workorder}",
            ["POST"],
            {"form": ID, "json": {"/x/id": "{workorder}"}},
            "'id'",
            id="the other kind of body could name it",
        ),
    ],
)
def test_a_row_that_cannot_be_judged_is_refused_at_start(
    path: str, methods: list[str], more: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=r"^/a") as caught:
        row(path, *methods, **more)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"form": ID}, id="form"),
        pytest.param({"json": AT_ID}, id="json"),
        pytest.param({"form": ID, "json": AT_ID}, id="both"),
        pytest.param({"absent": ["id"]}, id="it may not be in the body"),
        pytest.param({"form": {"a": "x"}, "absent": ["id"]}, id="nor beside what is wanted"),
    ],
)
def test_a_row_that_judges_the_body_may_name_the_record_in_the_query(more: dict[str, Any]) -> None:
    assert row("/a?id={workorder}", **more).body is not None


def test_a_row_that_says_nothing_of_the_body_judges_none() -> None:
    assert parse_body_rules({}, {}, (), "row") is None
    assert row("/a").body is None


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        pytest.param(None, True, id="no query"),
        pytest.param("note=1", True, id="another parameter"),
        pytest.param("id=42", False, id="what the body names"),
        pytest.param("ID[]=42", False, id="in another spelling"),
        pytest.param("_method=delete", False, id="what may not be there"),
        pytest.param("variables[id]=42", False, id="what is judged in JSON, or around it"),
    ],
)
def test_what_is_judged_in_the_body_may_not_be_in_the_query(query: str | None, fits: bool) -> None:
    table = RouteTable(
        [
            row("/a", form=ID, json={"/variables/id": "{workorder}"}, absent=["_method"]),
            row("/**"),  # which would let it pass
        ]
    )
    assert (table.match("POST", ("a",), query) is not None) is fits


def test_what_the_pattern_binds_in_the_query_is_judged_there() -> None:
    table = RouteTable([row("/a?id={workorder}&**", form=ID, absent=["_method"])])
    match = table.match("POST", ("a",), "id=42&x=1")
    assert match is not None
    assert match.workorders == ("42",)
    assert table.match("POST", ("a",), "id=42&_method=x") is None
