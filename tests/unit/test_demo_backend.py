"""The sample work-order system, by a real client."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientResponse, ClientSession, FormData
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from gateway.demo.backend import build_backend, start_backend
from gateway.demo.uploads import safe_name
from gateway.links.model import Permission
from gateway.links.routes import RouteTable, default_routes
from gateway.request.path import parse_path

ORDER = "/workorders/WO-1042"
LIMIT = 300_000


def portal(*permissions: Permission, email: str | None = None) -> dict[str, str]:
    """The headers that the gateway sets for a visitor who may do this."""
    headers = {"X-Portal-Link": "0" * 24, "X-Portal-Permissions": ",".join(permissions)}
    return headers if email is None else headers | {"X-Portal-Email": email}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[TestClient]:
    async with TestClient(TestServer(build_backend(tmp_path, max_upload=LIMIT))) as client:
        yield client


async def page(client: TestClient, path: str, headers: dict[str, str] | None = None) -> str:
    async with client.get(path, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        return await response.text()


async def send(
    client: TestClient, path: str, data: object, headers: dict[str, str] | None = None
) -> ClientResponse:
    return await client.post(path, data=data, headers=headers, allow_redirects=False)


async def test_the_index_leads_to_every_record(client: TestClient) -> None:
    records = re.findall(r'href="(/workorders/[^"]+)"', await page(client, "/"))
    assert ORDER in records
    assert len(records) >= 3
    for record in records:
        assert "<h1>" in await page(client, record)
        assert 'class="timeline"' in await page(client, f"{record}/history")
        assert "Your comment" in await page(client, f"{record}/comments")


async def test_every_link_is_a_path_of_the_own_origin(client: TestClient) -> None:
    for path in ("/", ORDER, f"{ORDER}/comments", f"{ORDER}/history"):
        html = await page(client, path)
        for target in re.findall(r'(?:href|src|action|formaction)="([^"]*)"', html):
            assert re.match(r"/(?!/)|#|mailto:", target), (path, target)
        assert "<script" not in html
        assert "style=" not in html


@pytest.mark.parametrize(
    ("permission", "form"),
    [
        pytest.param(Permission.ADD_COMMENTS, f'action="{ORDER}/comments"', id="comment"),
        pytest.param(Permission.UPLOAD_FILES, f'action="{ORDER}/files"', id="upload"),
        pytest.param(Permission.APPROVE_REJECT, f'action="{ORDER}/approve"', id="approve"),
        pytest.param(Permission.APPROVE_REJECT, f'formaction="{ORDER}/reject"', id="reject"),
        pytest.param(Permission.VIEW_HISTORY, f'href="{ORDER}/history"', id="history"),
    ],
)
async def test_a_visitor_sees_the_forms_that_the_link_permits(
    client: TestClient, permission: Permission, form: str
) -> None:
    assert form in await page(client, ORDER)
    assert form in await page(client, ORDER, portal(Permission.VIEW_DETAILS, permission))
    without = set(Permission) - {permission}
    assert form not in await page(client, ORDER, portal(*without))
    assert form not in await page(client, ORDER, portal())


async def test_visitors_are_not_shown_the_way_to_other_records(client: TestClient) -> None:
    html = await page(client, ORDER, portal(*Permission))
    assert 'href="/"' not in html
    assert "You are inside" not in html
    assert "You are inside" in await page(client, ORDER)


@pytest.mark.parametrize(
    ("headers", "author"),
    [
        pytest.param(portal(email="anna@visitor.example"), "anna@visitor.example", id="verified"),
        pytest.param(portal(), "Visitor", id="not verified"),
        pytest.param({}, "Alder &amp; Quay staff", id="inside"),
        pytest.param({"X-Portal-Email": "boss@x.example"}, "Alder &amp; Quay staff", id="no link"),
    ],
)
async def test_comments_are_signed(
    client: TestClient, headers: dict[str, str], author: str
) -> None:
    answer = await send(client, f"{ORDER}/comments", {"text": "<b>Tuesday</b> ä"}, headers)
    assert answer.status == 303
    assert answer.headers["Location"] == f"{ORDER}#comments"
    last = (await page(client, ORDER)).split('<p class="by">')[-1]
    assert f"<strong>{author}</strong>" in last
    assert "&lt;b&gt;Tuesday&lt;/b&gt; ä" in last
    assert author in await page(client, f"{ORDER}/history")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param(" \r\n\t", id="blank"),
        pytest.param("x" * 4001, id="too long"),
    ],
)
async def test_bad_comments_are_refused(client: TestClient, text: str) -> None:
    before = await page(client, ORDER)
    assert (await send(client, f"{ORDER}/comments", {"text": text})).status == 400
    assert await page(client, ORDER) == before


async def test_forms_that_cannot_be_read(client: TestClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=nonsense"}
    answer = await send(client, f"{ORDER}/comments", b"text=a", headers)
    assert answer.status == 400
    assert (await send(client, f"{ORDER}/files", {"file": "x"})).status == 415
    form = FormData({"other": "x"}, default_to_multipart=True)
    assert (await send(client, f"{ORDER}/files", form)).status == 400


def file_form(*named: tuple[str, bytes]) -> FormData:
    # As browsers do (RFC 7578 section 4.2): names in UTF-8, not percent-encoded.
    form = FormData(quote_fields=False)
    for name, content in named:
        form.add_field("file", content, filename=name)
    return form


async def file_links(client: TestClient) -> list[str]:
    return re.findall(rf'href="({ORDER}/files/[^"]+)"', await page(client, ORDER))


async def test_files_are_kept_and_given_back(client: TestClient, tmp_path: Path) -> None:
    content = bytes(range(256)) * 1000
    form = file_form(("Prüfbericht (1).pdf", content), ("Prüfbericht (1).pdf", b"second"))
    answer = await send(client, f"{ORDER}/files", form, portal(email="anna@visitor.example"))
    assert (answer.status, answer.headers["Location"]) == (303, f"{ORDER}#files")
    html = await page(client, ORDER)
    assert "Prüfbericht (1).pdf</a>" in html
    assert "256.0 KB · anna@visitor.example" in html
    assert "Uploaded Prüfbericht (1).pdf" in await page(client, f"{ORDER}/history")
    first, second = (await file_links(client))[-2:]
    async with client.get(URL(first, encoded=True)) as response:
        assert await response.read() == content
        assert response.content_type == "application/pdf"
        assert response.headers["Content-Disposition"] == (
            'attachment; filename="Pr_fbericht (1).pdf"; '
            "filename*=UTF-8''Pr%C3%BCfbericht%20%281%29.pdf"
        )
    async with client.get(URL(second, encoded=True)) as response:
        assert await response.read() == b"second"
    assert content in {path.read_bytes() for path in tmp_path.iterdir()}


async def test_a_part_of_a_file_can_be_asked_for(client: TestClient) -> None:
    link = URL((await file_links(client))[0], encoded=True)
    async with client.get(link, headers={"Range": "bytes=0-3"}) as response:
        assert (response.status, await response.read()) == (206, b"time")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        pytest.param("../../etc/passwd", "passwd", id="path"),
        pytest.param("C:\\Users\\a\\plan.dwg", "plan.dwg", id="other path"),
        pytest.param('a"; x="b\r\nSet-Cookie: c', "a_ x=_b_Set-Cookie_ c", id="header"),
        pytest.param("<svg onload=1>.svg", "_svg onload=1_.svg", id="markup"),
        pytest.param("50%25 a+b=c,d@e.txt", "50_25 a+b=c,d@e.txt", id="escape"),
        pytest.param("图纸 Ä.pdf", "图纸 Ä.pdf", id="any script"),
        pytest.param("..", "file", id="dots"),
        pytest.param("", "file", id="empty"),
        pytest.param("\x00", "_", id="NUL"),
        pytest.param(".htaccess", "htaccess", id="hidden"),
        pytest.param("x" * 300 + ".pdf", "x" * 96 + ".pdf", id="long"),
    ],
)
def test_safe_name(sent: str, kept: str) -> None:
    assert safe_name(sent) == kept


@pytest.mark.parametrize("name", ["50%25 a+b=c,d@e&f.txt", "图纸 Ä.pdf", "a#b?c.txt"])
async def test_odd_names_make_addresses_that_work(client: TestClient, name: str) -> None:
    assert (await send(client, f"{ORDER}/files", file_form((name, b"odd")))).status == 303
    async with client.get(URL((await file_links(client))[-1], encoded=True)) as response:
        assert (response.status, await response.read()) == (200, b"odd")


async def test_a_file_too_large_is_not_kept(client: TestClient, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir()), await page(client, ORDER)
    answer = await send(client, f"{ORDER}/files", file_form(("big.bin", b"x" * (LIMIT + 1))))
    assert answer.status == 413
    assert "The file is too large." in await answer.text()
    assert (set(tmp_path.iterdir()), await page(client, ORDER)) == before
    assert (await send(client, f"{ORDER}/files", file_form(("b", b"x" * LIMIT)))).status == 303


@pytest.mark.parametrize(("action", "outcome"), [("approve", "Approved"), ("reject", "Rejected")])
async def test_a_decision_is_taken_once(client: TestClient, action: str, outcome: str) -> None:
    visitor = portal(*Permission, email="anna@visitor.example")
    assert "Awaiting approval" in await page(client, ORDER)
    answer = await send(client, f"{ORDER}/{action}", {"note": "Key at the desk."}, visitor)
    assert (answer.status, answer.headers["Location"]) == (303, f"{ORDER}#decision")
    html = await page(client, ORDER, visitor)
    assert f"{outcome} by <strong>anna@visitor.example</strong>" in html
    assert "Key at the desk." in html
    assert "Awaiting approval" not in html
    assert f"{ORDER}/approve" not in html
    assert f"<strong>{outcome}</strong>" in await page(client, f"{ORDER}/history")
    again = await send(client, f"{ORDER}/approve", {})
    assert again.status == 409
    assert outcome.lower() in await again.text()
    assert (await page(client, ORDER, visitor)) == html


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/workorders/WO-9999", 404),
        ("GET", "/workorders/WO-9999/comments", 404),
        ("GET", "/workorders/WO-9999/history", 404),
        ("POST", "/workorders/WO-9999/comments", 404),
        ("POST", "/workorders/WO-9999/files", 404),
        ("POST", "/workorders/WO-9999/approve", 404),
        ("GET", f"{ORDER}/files/1/another-name.csv", 404),
        ("GET", f"{ORDER}/files/999/boiler-2%20readings.csv", 404),
        ("GET", "/workorders/WO-1043/files/1/boiler-2%20readings.csv", 404),
        ("GET", "/static/page.html.j2", 404),
        ("GET", "/static/..%2fbackend.py", 404),
        ("GET", "/nowhere", 404),
        ("GET", f"{ORDER}/approve", 405),
        ("DELETE", ORDER, 405),
    ],
)
async def test_what_is_not_there(client: TestClient, method: str, path: str, status: int) -> None:
    async with client.request(method, URL(path, encoded=True)) as response:
        assert response.status == status
        assert response.content_type == "text/html"
        assert "<h1>" in await response.text()


async def test_static_files_may_be_kept(client: TestClient) -> None:
    for path in set(re.findall(r'"(/static/[^"]+)"', await page(client, ORDER))):
        async with client.get(path) as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "public, max-age=3600"
            assert b"url(" not in await response.read()


@pytest.mark.parametrize("path", ["", "/comments", "/history"])
async def test_pages_answer_head(client: TestClient, path: str) -> None:
    async with client.head(ORDER + path) as response:
        assert response.status == 200


async def test_all_that_a_visitor_can_click_passes_the_default_table(client: TestClient) -> None:
    table = RouteTable(default_routes())
    odd = file_form(("50%25 Ä+b=c&d@e;..(1).txt", b"odd"))
    await send(client, f"{ORDER}/files", odd)
    seen = set()
    for path in (ORDER, f"{ORDER}/comments", f"{ORDER}/history"):
        html = await page(client, path, portal(*Permission))
        for name, target in re.findall(r'(href|src|action|formaction)="(/[^"]*)"', html):
            method = "POST" if name.endswith("action") else "GET"
            match = table.match(method, parse_path(target), None)
            assert match is not None, (method, target)
            assert match.names_only("WO-1042")
            seen.add(match.route.action)
    assert seen == {
        "asset",
        "view",
        "download",
        "history",
        "comment",
        "upload",
        "approve",
        "reject",
    }


async def test_it_serves_on_a_free_port(tmp_path: Path) -> None:
    runner, url = await start_backend(tmp_path)
    try:
        async with ClientSession() as session, session.get(f"{url}{ORDER}") as response:
            assert response.status == 200
    finally:
        await runner.cleanup()
