"""Bodies that are judged before they are sent, between a real client and a backend that records."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.echo_backend import Conversation, EchoBackend, echo, simple
from tests.flow.doors import Link, admitted, path, until
from tests.portal import Portal, running_portal
from tests.raw_client import Answer, RawConnection, connect

# One gateway for the whole module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 20_000
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=B"
JSON = "application/json"
ROWS: list[dict[str, Any]] = [
    {"methods": ["GET"], "path": "/workorders/{workorder}", "action": "view"},
    {
        "methods": ["POST"],
        "path": "/update",
        "action": "comment",
        "form": {"id": "{workorder}", "action": ["leave"]},
        "absent": ["_method"],
    },
    {"methods": ["POST"], "path": "/graph", "action": "comment", "json": {"/v/id": "{workorder}"}},
    {"methods": ["POST"], "path": "/show?id={workorder}", "action": "comment", "absent": ["id"]},
    {"methods": ["GET", "POST"], "path": "/free", "action": "comment", "absent": ["_method"]},
    {"methods": ["POST"], "path": "/workorders/{workorder}/any", "action": "comment"},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def portal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Portal]:
    rows = [{"permission": "can_view_details", **row} for row in ROWS]
    backend = await EchoBackend().start()
    async with running_portal(
        tmp_path_factory.mktemp("portal"),
        backend=backend,
        upstream={"url": backend.origin, "routes": rows},
        limits={"max_inspected_body": LIMIT, "body_timeout": 0.5},
    ) as portal:
        yield portal
    await backend.stop()


@pytest.fixture(autouse=True)
def _a_plain_backend(portal: Portal) -> None:
    portal.backend.behave = echo
    portal.backend.requests.clear()


async def cookies(portal: Portal, link: Link) -> str:
    visitor = await admitted(portal, link)
    return "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())


async def post(
    portal: Portal, target: str, content_type: str | None, body: bytes, *fields: str
) -> tuple[Answer, Link]:
    """POST `body` on a new link to the work order 42, whole, by a raw client."""
    link = await portal.link()
    async with connect(portal.origin.removeprefix("http://")) as connection:
        await connection.send(
            await head(portal, link, target, content_type, f"Content-Length: {len(body)}", *fields)
            + body
        )
        return await connection.read_answer(), link


async def head(
    portal: Portal, link: Link, target: str, content_type: str | None, *fields: str
) -> bytes:
    lines = [
        f"POST {target} HTTP/1.1",
        f"Host: {portal.origin.removeprefix('http://')}",
        f"Origin: {portal.origin}",
        f"Cookie: {await cookies(portal, link)}",
        *fields,
    ]
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


async def reasons(portal: Portal, link: Link) -> list[tuple[str, str]]:
    """What the journal has of the link, after the session was opened."""
    return [(entry["action"], entry["reason"]) for entry in (await portal.log(link))[1:]]


def field(name: str, value: str) -> bytes:
    return f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


FILE = b'--B\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n'
GOOD = field("id", "42") + field("action", "leave")
END = b"\r\n--B--\r\n"


@pytest.mark.parametrize(
    ("target", "content_type", "body"),
    [
        pytest.param("/update", FORM, b"id=4%32&&text=a+b&action=leave", id="urlencoded"),
        pytest.param("/update?x=1", MULTIPART, GOOD + field("t", "\xe4") + END[2:], id="multipart"),
        pytest.param("/update", MULTIPART, GOOD + FILE + bytes(range(256)) * 400 + END, id="file"),
        pytest.param("/graph", f"{JSON}; charset=utf-8", b'{ "v":{"id" : 42},"t":"\\u00e4"}', id="JSON"),
        pytest.param("/show?id=42", FORM, b"text=x", id="the record in the query"),
        pytest.param("/free", None, b"", id="no body where nothing is wanted"),
        pytest.param("/workorders/42/any", "text/x", b"id=43", id="a row that judges nothing"),
    ],
)  # fmt: skip
async def test_what_was_judged_is_byte_for_byte_what_arrives(
    portal: Portal, target: str, content_type: str | None, body: bytes
) -> None:
    answer, link = await post(portal, target, content_type, body)
    assert answer.status == 200, answer
    arrived = portal.backend.last
    assert arrived.body == body
    assert arrived.request_line == f"POST {target} HTTP/1.1".encode()
    assert arrived.one(b"Content-Length") == str(len(body)).encode()
    assert arrived.one(b"Content-Type") == (content_type.encode() if content_type else None)
    assert await reasons(portal, link) == [("comment", "ok")]


@pytest.mark.parametrize(
    ("target", "content_type", "body", "fields", "reason"),
    [
        pytest.param("/update", FORM, b"id=43&action=leave", [], "not_permitted", id="urlencoded"),
        pytest.param(
            "/update", MULTIPART, field("id", "43") + field("action", "leave") + END[2:], [],
            "not_permitted", id="multipart",
        ),
        pytest.param("/graph", JSON, b'{"v": {"id": 43}}', [], "not_permitted", id="JSON"),
        pytest.param("/graph", JSON, b'{"v": {"id": 42, "id": 43}}', [], "bad_request", id="twice"),
        pytest.param("/update", FORM, b"id=42&action=close", [], "no_route", id="another literal"),
        pytest.param("/update", FORM, b"", [], "no_route", id="no body"),
        pytest.param("/update", None, b"id=42&action=leave", [], "no_route", id="no type"),
        pytest.param("/update", JSON, b'{"id":42}', [], "no_route", id="another type"),
        pytest.param("/update?id=43", FORM, b"id=42&action=leave", [], "no_route", id="query"),
        pytest.param("/update?_method=put", FORM, b"id=42&action=leave", [], "no_route", id="absent"),
        pytest.param("/show?id=42", FORM, b"id=43", [], "no_route", id="bound in the query"),
        pytest.param("/show?id=42", JSON, b'{"id": 43}', [], "no_route", id="the same in JSON"),
        pytest.param("/free", FORM, b"_method=delete", [], "no_route", id="absent alone"),
        pytest.param(
            "/update", FORM, b"id=42&action=leave", ["Content-Encoding: gzip"],
            "bad_request", id="compressed",
        ),
        pytest.param(
            "/update", FORM, b"id=42&action=leave", ["Content_Type: text/plain"],
            "bad_request", id="another type under an alias",
        ),
        pytest.param(
            "/update", FORM, b"id=42&action=leave", ["Connection: Content-Type"],
            "bad_request", id="a type that would not arrive",
        ),
        pytest.param(
            "/update", FORM, b"id=42&action=leave&t=" + b"x" * LIMIT, [],
            "body_too_large", id="more than is kept",
        ),
        pytest.param(
            "/update", MULTIPART, field("t", "x" * LIMIT) + GOOD + FILE + END, [],
            "body_too_large", id="more than is kept before a file",
        ),
    ],
)  # fmt: skip
async def test_what_does_not_fit_never_reaches_the_backend(
    portal: Portal,
    target: str,
    content_type: str | None,
    body: bytes,
    fields: list[str],
    reason: str,
) -> None:
    answer, link = await post(portal, target, content_type, body, *fields)
    assert json.loads(answer.body)["reason"] == answer.headers["x-portal-reason"] == reason
    assert portal.backend.requests == []
    assert await reasons(portal, link) == [("denied", reason)]


async def test_the_operator_learns_of_what_no_row_named(
    portal: Portal, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="gateway.steps.unrouted")
    visitor = await admitted(portal, await portal.link())
    for _ in range(2):
        assert (await visitor.get("/search?q=x")).reason == "no_route"
    assert (await portal.visitor().get("/search")).reason == "session_required"
    assert caplog.messages == ["no route: GET /search: no row names it"]


async def test_the_portal_url_leads_to_a_judged_body_too(portal: Portal) -> None:
    link = await portal.link()
    visitor = portal.visitor(Content_Type=FORM)
    answer = await visitor.post(path(link), b"id=43")
    assert answer.reason == "no_route"
    assert portal.backend.requests == []


async def test_the_body_is_asked_for_only_once_the_rules_allow_it(portal: Portal) -> None:
    link = await portal.link()
    fields = ("Content-Length: 18", "Expect: 100-continue")
    address = portal.origin.removeprefix("http://")
    async with connect(address) as connection:
        await connection.send(await head(portal, link, "/update", FORM, *fields))
        assert (await connection.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        assert portal.backend.requests == []
        await connection.send(b"id=42&action=leave")
        assert (await connection.read_answer()).status == 200
    sent = await head(portal, link, "/update", FORM, *fields)
    await portal.change(link, permissions={"can_view_details": False})
    async with connect(address) as connection:
        await connection.send(sent)
        assert (await connection.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 403 ")


async def test_chunks_stay_chunks(portal: Portal) -> None:
    link = await portal.link()
    async with connect(portal.origin.removeprefix("http://")) as connection:
        await connection.send(
            await head(portal, link, "/update", MULTIPART, "Transfer-Encoding: chunked")
        )
        for start in range(0, len(GOOD + FILE + END), 50):
            piece = (GOOD + FILE + END)[start : start + 50]
            await connection.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await connection.send(b"0\r\n\r\n")
        assert (await connection.read_answer()).status == 200
    assert unchunked(portal.backend.last.body) == GOOD + FILE + END


def unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole


async def test_a_slow_body_is_given_up(portal: Portal) -> None:
    link = await portal.link()
    async with connect(portal.origin.removeprefix("http://")) as connection:
        await connection.send(
            await head(portal, link, "/update", FORM, "Content-Length: 18") + b"id="
        )
        assert (await connection.read_answer()).headers["x-portal-reason"] == "bad_request"
    assert portal.backend.requests == []
    assert await reasons(portal, link) == [("denied", "bad_request")]


@pytest.mark.parametrize("leaves", [True, False], ids=["the visitor leaves", "the link ends"])
async def test_who_is_gone_before_the_body_is_judged_is_entered(
    portal: Portal, leaves: bool
) -> None:
    link = await portal.link()
    async with connect(portal.origin.removeprefix("http://")) as connection:
        sent = await head(
            portal, link, "/update", FORM, "Content-Length: 18", "Expect: 100-continue"
        )
        await connection.send(sent)
        await connection.read_until(b"\r\n\r\n")
        if leaves:
            connection.reset()
        else:
            await portal.act(link, "deactivate")
            assert await connection.read_to_end() == b""
    async with asyncio.timeout(5):
        while await reasons(portal, link) != [("denied", "bad_request")]:
            await asyncio.sleep(0.01)
    assert portal.backend.requests == []


# ---- files are streamed


async def open_upload(portal: Portal, connection: RawConnection, size: int, begin: bytes) -> Link:
    """Begin an upload of `size` bytes, and return once its beginning has arrived at the backend."""
    link = await portal.link()
    arrived = asyncio.Event()

    async def take(talk: Conversation) -> None:
        length = int(talk.request.one(b"Content-Length") or 0)
        while len(talk.request.body) < length:
            if not await talk.read_some():
                return
            arrived.set()
        talk.request.is_whole = True
        await talk.send(simple(b"done"))

    portal.backend.behave = take
    await connection.send(
        await head(portal, link, "/update", MULTIPART, f"Content-Length: {size}") + begin
    )
    async with asyncio.timeout(5):
        await arrived.wait()
    return link


async def test_a_file_is_streamed_after_the_judged_fields(portal: Portal) -> None:
    content = b"\r\n--A\x00" * (8 << 20 >> 3) + b"x" * (1 << 20)
    body = GOOD + FILE + content + END
    async with connect(portal.origin.removeprefix("http://")) as connection:
        # The backend has the first bytes before the visitor has sent the others.
        await open_upload(portal, connection, len(body), body[:1000])
        await connection.send(body[1000:])
        assert (await connection.read_answer()).body == b"done"
    assert portal.backend.last.body == body


@pytest.mark.parametrize(
    ("late", "reason"),
    [
        pytest.param(b"\r\n" + field("id", "43"), "bad_request", id="the record again"),
        pytest.param(b"\r\n" + field("ID[]", "43"), "bad_request", id="in another spelling"),
        pytest.param(b"\r\n" + field("_method", "x"), "no_route", id="what may not be there"),
        pytest.param(b"\n--B\n", "bad_request", id="a boundary that is none"),
    ],
)
async def test_what_comes_after_a_file_and_spoils_it_cuts_the_upload(
    portal: Portal, late: bytes, reason: str
) -> None:
    body = GOOD + FILE + b"x" * 100_000 + late + END
    async with connect(portal.origin.removeprefix("http://")) as connection:
        link = await open_upload(portal, connection, len(body), body[:50_000])
        await connection.send(body[50_000:])
        assert (await connection.read_answer()).headers["x-portal-reason"] == reason
    await until(portal.backend.last.over.is_set)
    assert not portal.backend.last.is_whole
    assert late not in portal.backend.last.body
    # It was on its way when it was entered, as every upload is.
    assert await reasons(portal, link) == [("comment", "ok")]


async def test_an_upload_without_its_end_is_not_whole(portal: Portal) -> None:
    body = GOOD + FILE + b"x" * 1000 + END[:-4]
    async with connect(portal.origin.removeprefix("http://")) as connection:
        await open_upload(portal, connection, len(body), body[:500])
        await connection.send(body[500:])
        assert (await connection.read_answer()).headers["x-portal-reason"] == "bad_request"
    await until(portal.backend.last.over.is_set)
    assert not portal.backend.last.is_whole
