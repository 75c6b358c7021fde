"""`explain` tells what the hot path would do, in the order of the rules, and no secret."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.models import Settings
from gateway.crypto.sealing import Sealer
from gateway.crypto.tokens import hash_token, new_id, new_token
from gateway.explain import Body, NoSuchLink, explain
from gateway.links.model import Branding, Link, LinkRecord, LinkType, Permission
from gateway.store.database import Database
from gateway.store.links import LinkStore

TOKEN = "wpl_" + "a1B2" * 10
PORTAL = f"/workorder/{TOKEN}"
KEY = "k" * 32
ROWS = [
    {"methods": ["GET"], "path": "/show?id={workorder}", "permission": "none", "action": "view"}
]


def settings(folder: Path, **changes: Any) -> Settings:
    return Settings.model_validate(
        {
            "public_url": "https://portal.example",
            "upstream": {"url": "http://backend:8000", "headers": {"X-Api-Key": "HUNTER2"}},
            "database_url": f"sqlite:///{folder}/portal.db",
            "secret_keys": [KEY],
            **changes,
        }
    )


async def told(found: Settings, method: str, url: str, **options: Any) -> dict[str, str]:
    """The explanation by its labels; lines without one are joined to the label above."""
    text = await explain(found, method, url, options.pop("workorder", "17"), **options)
    assert TOKEN not in text
    assert "HUNTER2" not in text
    lines: dict[str, str] = {}
    label = ""
    for line in text.splitlines():
        label = line[:12].strip() or label
        lines[label] = f"{lines[label]}\n{line[12:]}" if label in lines else line[12:]
    return lines


async def stored(folder: Path, **changes: Any) -> tuple[str, str]:
    """Put a link into the database: its id and its token."""
    database = Database.open(f"sqlite:///{folder}/portal.db")
    await database.migrate()
    token, now = new_token(), time.time()
    link = replace(Link(new_id(), hash_token(token), "17"), **changes)
    await LinkStore(database, Sealer([KEY])).create(
        LinkRecord(link, token, created_at=now, modified_at=now)
    )
    await database.close()
    return link.id, token


async def test_the_whole_text(tmp_path: Path) -> None:
    text = await explain(settings(tmp_path), "get", f"{PORTAL}/files/a%20b.pdf?x=1", "17")
    assert text == (
        "request     GET /workorder/wpl_.../files/a%20b.pdf?x=1 on https://portal.example\n"
        "found by    the token in the path, which is not looked up\n"
        "landing     /workorders/17\n"
        "target      /workorders/17/files/a%20b.pdf?x=1 at http://backend:8000\n"
        "route       GET, HEAD /workorders/{workorder}/files/**\n"
        "action      download\n"
        "permission  can_view_details: the link has it\n"
        "work order  17: the link's own\n"
        "verdict     ok: once there is a session\n"
        "sends       GET /workorders/17/files/a%20b.pdf?x=1 HTTP/1.1\n"
        "            Host: backend:8000\n"
        "            X-Portal-Link: [link]\n"
        "            X-Portal-Workorder: 17\n"
        "            X-Portal-Link-Type: private\n"
        "            X-Portal-Permissions: can_add_comments,can_approve_reject,can_upload_files,"
        "can_view_details,can_view_history\n"
        "            X-Portal-Visitor: [visitor]\n"
        "            X-Request-Id: [request id]\n"
        "            X-Forwarded-For: [address]\n"
        "            X-Forwarded-Proto: https\n"
        "            X-Forwarded-Host: portal.example\n"
        "            X-Api-Key: [set]\n"
        "cookies     seal: those that this backend set in the same session"
    )
    assert list(tmp_path.iterdir()) == [], "without a link, no database is needed"


@pytest.mark.parametrize(
    ("table", "says"),
    [
        pytest.param({"readable_cookies": ["csrftoken", "XSRF-TOKEN"]},
                     "seal: those that this backend set in the same session; "
                     "scripts read csrftoken, XSRF-TOKEN", id="readable"),
        pytest.param({"cookies": "pass"}, "pass: as the backend set them, on every link", id="pass"),
        pytest.param({"cookies": "drop"}, "drop: none that the backend sets", id="drop"),
    ],
)  # fmt: skip
async def test_the_backend_s_cookies(tmp_path: Path, table: dict[str, Any], says: str) -> None:
    found = settings(tmp_path, upstream={"url": "http://backend:8000", **table})
    assert (await told(found, "GET", PORTAL))["cookies"] == says


@pytest.mark.parametrize(
    ("method", "url", "label", "begins"),
    [
        pytest.param("GET", PORTAL, "target", "/workorders/17 at", id="portal URL"),
        pytest.param("POST", f"{PORTAL}/approve", "target", "/workorders/17/approve at", id="below it"),
        pytest.param("GET", f"https://portal.example{PORTAL}", "verdict", "ok", id="absolute"),
        pytest.param("GET", f"https://portal.example:443{PORTAL}", "verdict", "ok", id="port"),
        pytest.param("GET", "/workorders/17", "found by", "a session", id="without a token"),
        pytest.param("GET", "/workorders/18", "verdict", "not_permitted", id="another's"),
        pytest.param("GET", "/workorders/18", "work order", "18: not the", id="whose it is"),
        pytest.param("GET", "/workorders/1%37", "work order", "17: the link's", id="escaped"),
        pytest.param("DELETE", "/workorders/17", "route", "none", id="method"),
        pytest.param("DELETE", "/workorders/17", "verdict", "no_route", id="no route"),
        pytest.param("GET", "/admin", "verdict", "no_route", id="path"),
        pytest.param("GET", "/static/a.css", "action", "asset (cacheable)", id="cacheable"),
        pytest.param("GET", "/static/a.css", "permission", "none", id="no permission"),
        pytest.param("GET", "/a/../b", "verdict", "bad_request: The path has", id="dots"),
        pytest.param("GET", "/a%2fb", "verdict", "bad_request", id="encoded slash"),
        pytest.param("GET", f"{PORTAL}#x", "verdict", "bad_request", id="fragment"),
        pytest.param("GET", "nonsense", "verdict", "bad_request", id="no URL"),
        pytest.param("GET", "https://u@portal.example/", "verdict", "bad_request", id="user"),
        pytest.param("GET", f"https://other.example{PORTAL}", "verdict", "misdirected", id="host"),
        pytest.param("POST", f"{PORTAL}/-/password", "answered by", "the gateway itself", id="gate"),
        pytest.param("GET", "/-/health/live", "answered by", "the gateway itself", id="health"),
    ],
)  # fmt: skip
async def test_step(tmp_path: Path, method: str, url: str, label: str, begins: str) -> None:
    lines = await told(settings(tmp_path), method, url)
    assert lines[label].startswith(begins)
    assert ("sends" in lines) is (lines.get("verdict", "").startswith("ok"))


async def test_a_landing_page_with_a_query(tmp_path: Path) -> None:
    upstream = {"url": "http://rt", "path": "/show?id={workorder}", "routes": ROWS}
    found = settings(tmp_path, upstream=upstream)
    lines = await told(found, "GET", PORTAL, workorder="a&b=1")
    assert lines["target"] == "/show?id=a%26b%3D1 at http://rt"
    assert lines["verdict"].startswith("ok")
    assert (await told(found, "GET", f"{PORTAL}/x"))["verdict"].startswith("no_route: ")
    assert (await told(found, "GET", "/show?id=17;id=18"))["verdict"].startswith("bad_request: ")


async def test_a_stored_link_is_judged_by_what_it_is(tmp_path: Path) -> None:
    link_id, token = await stored(
        tmp_path,
        permissions=frozenset({Permission.VIEW_DETAILS}),
        link_type=LinkType.SECURE,
        password_protected=True,
        password_hash="$argon2id$",
        require_email_verification=True,
        max_uses=3,
        namespaces=("other", "acme"),
        branding=Branding(custom_domain="acme.example"),
    )
    found = settings(tmp_path, upstreams={"acme": {"url": "http://acme:8000"}})
    url = f"https://acme.example/workorder/{token}/approve"
    lines = await told(found, "POST", url, link_id=link_id)
    assert token not in str(lines)
    assert lines["link"] == f"{link_id}, secure"
    assert lines["gates"] == "password, email, confirm"
    assert lines["found by"] == "the token in the path, this link's"
    assert lines["permission"] == "can_approve_reject: the link lacks it"
    assert lines["verdict"] == "not_permitted"

    lines = await told(found, "GET", "https://acme.example/workorders/17", link_id=link_id)
    assert lines["verdict"] == "ok: once there is a session"
    assert lines["target"] == "/workorders/17 at http://acme:8000"
    sent = lines["sends"].splitlines()
    assert f"X-Portal-Link: {link_id}" in sent
    assert "X-Portal-Permissions: can_view_details" in sent
    assert "X-Portal-Email: [email]" in sent
    assert "X-Api-Key: [set]" not in sent, "headers belong to one backend"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        pytest.param({"is_active": False}, "inactive", id="inactive"),
        pytest.param({"expires_at": 1.0}, "expired", id="expired"),
        pytest.param({}, "ok: once there is a session", id="neither"),
    ],
)
async def test_a_stored_link_that_is_over(
    tmp_path: Path, changes: dict[str, Any], verdict: str
) -> None:
    link_id, _ = await stored(tmp_path, **changes)
    lines = await told(settings(tmp_path), "GET", "/workorders/17", link_id=link_id)
    assert lines["verdict"] == verdict


async def test_what_the_work_order_is_taken_for_is_said(tmp_path: Path) -> None:
    link_id, _ = await stored(tmp_path)
    lines = await told(settings(tmp_path), "GET", PORTAL, link_id=link_id, workorder="18")
    assert "its work order is 17; judged as if it were 18" in lines["link"]
    assert lines["found by"] == "the token in the path, which is not this link's"
    assert lines["target"].startswith("/workorders/18 at")


async def test_no_such_link(tmp_path: Path) -> None:
    with pytest.raises(NoSuchLink):
        await explain(settings(tmp_path), "GET", "/", "17", "0" * 23 + "1")


JUDGED = {
    "methods": ["POST"],
    "path": "/update",
    "permission": "none",
    "action": "comment",
    "form": {"id": "{workorder}", "action": ["leave", "none"]},
    "json": {"/v/id": "{workorder}"},
    "absent": ["_method", "/v/status"],
}


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        pytest.param(None, "ok: once there is a session, for a body that fits", id="none given"),
        pytest.param(
            Body("id=17&action=leave", "application/x-www-form-urlencoded"),
            "ok: once there is a session",
            id="it fits",
        ),
        pytest.param(
            Body('{"v": {"id": 18}}', "application/json"),
            "not_permitted: for what the body says",
            id="another record",
        ),
        pytest.param(Body("", "text/plain"), "no_route: for what the body says", id="its type"),
    ],
)
async def test_a_row_that_judges_the_body(tmp_path: Path, body: Body | None, verdict: str) -> None:
    upstream = {"url": "http://backend:8000", "routes": [JUDGED]}
    lines = await told(settings(tmp_path, upstream=upstream), "POST", "/update", body=body)
    assert lines["body"].splitlines() == [
        "form id: {workorder}",
        "form action: leave or none",
        "json /v/id: {workorder}",
        "absent _method",
        "absent /v/status",
    ]
    assert lines["verdict"] == verdict
