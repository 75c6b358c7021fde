"""The admin API over real stores: every error's way, fields, roles."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.store.access_log import AccessLogStore
from gateway.store.entry import START, Entry, Position
from tests.admin_service import ADMIN_KEY, LINKS, PUBLIC_URL, Service, serve
from tests.redis_server import free_port

NO_ID = "0" * 24
MIB = 1024 * 1024


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with serve(sqlite_url) as running:
        yield running


def nested(dotted: str, value: Any) -> dict[str, Any]:
    """`{"a": {"b": value}}` for `a.b`."""
    for name in reversed(dotted.split(".")):
        value = {name: value}
    assert isinstance(value, dict)
    return value


# ---- what is answered


async def test_a_new_link_has_the_defaults_and_no_nulls(service: Service) -> None:
    answer = await service.call("POST", LINKS, json={"workorder": "WO 7"})
    link = answer.body["data"]
    assert answer.status == 201
    assert answer.headers["ETag"] == '"0"'
    assert link["full_url"] == f"{PUBLIC_URL}/workorder/{link['link_token']}"
    assert link["createdAt"] == link["modifiedAt"]
    for name in ("_id", "link_token", "full_url", "createdAt", "modifiedAt"):
        del link[name]
    assert link == {
        "workorder": "WO 7",
        "link_type": "private",
        "permissions": {
            "can_view_details": True,
            "can_add_comments": True,
            "can_upload_files": False,
            "can_view_history": True,
            "can_approve_reject": False,
        },
        "access_restrictions": {
            "allowed_ips": [],
            "max_uses": 0,
            "password_protected": False,
            "require_email_verification": False,
            "allowed_emails": [],
        },
        "is_active": True,
        "usage_stats": {"total_views": 0, "unique_visitors": 0, "access_log": [], "uses": 0},
        "notification_settings": {
            "notify_on_access": False,
            "notify_on_comment": True,
            "notify_on_file_upload": True,
            "notification_recipients": [],
        },
        "custom_branding": {},
        "metadata": {"created_by": "admin_key", "tags": []},
        "company_namespace": [],
        "SVClient": 0,
        "__v": 0,
        "status": "active",
        "throttle": {"failures": 0, "codes": 0, "locked": False},
    }


async def test_everything_that_is_sent_is_kept_in_one_spelling(service: Service) -> None:
    link = await service.create(
        link_type="secure",
        expiry_date="2031-01-01T02:00:00+02:00",
        permissions={"can_upload_files": True},
        access_restrictions={
            "allowed_ips": ["10.1.2.3/8", "192.0.2.7/32", "10.0.0.0/8"],
            "max_uses": 3,
            "require_email_verification": True,
            "allowed_emails": ["Ann@Example.com", "@EXAMPLE.org", "ann@example.com"],
        },
        notification_settings={"notify_on_access": True, "notification_recipients": ["B@x.org"]},
        custom_branding={"custom_domain": "Work.Example.ORG", "brand_color": "#Ff5733"},
        metadata={"purpose": "", "tags": ["a", "a"]},
        company_namespace=["acme", "beta", "acme"],
    )
    assert link["expiry_date"] == "2031-01-01T00:00:00Z"
    assert link["permissions"]["can_upload_files"] is True
    assert link["permissions"]["can_add_comments"] is True
    assert link["access_restrictions"]["allowed_ips"] == ["10.0.0.0/8", "192.0.2.7"]
    assert link["access_restrictions"]["allowed_emails"] == ["ann@example.com", "@example.org"]
    assert link["notification_settings"]["notification_recipients"] == ["b@x.org"]
    assert link["full_url"] == f"https://work.example.org/workorder/{link['link_token']}"
    assert link["custom_branding"] == {
        "custom_domain": "work.example.org",
        "brand_color": "#Ff5733",
    }
    assert link["metadata"] == {"created_by": "admin_key", "purpose": "", "tags": ["a", "a"]}
    assert link["company_namespace"] == ["acme", "beta"]
    again = await service.call("GET", f"{LINKS}/{link['_id']}")
    assert again.body["data"] == link


async def test_a_body_without_a_content_type_is_json(service: Service) -> None:
    answer = await service.call("POST", LINKS, data=b'{"workorder": "1"}')
    assert answer.status == 201


# ---- changing


async def test_a_change_goes_field_by_field(service: Service) -> None:
    before = await service.create(
        permissions={"can_upload_files": True, "can_view_details": False},
        notification_settings={"notification_recipients": ["a@example.com"]},
        metadata={"purpose": "why", "tags": ["x"]},
        custom_branding={"footer_text": "foot", "logo_url": "https://example.com/l.png"},
        expiry_date="2031-01-01T00:00:00Z",
    )
    answer = await service.call(
        "PATCH",
        f"{LINKS}/{before['_id']}",
        json={
            "permissions": {"can_add_comments": False},
            "notification_settings": {"notify_on_access": True},
            "metadata": {"purpose": None},
            "custom_branding": {"footer_text": None},
            "expiry_date": None,
        },
    )
    after = answer.body["data"]
    assert answer.headers["ETag"] == '"1"'
    assert after["__v"] == 1
    assert after["permissions"] == before["permissions"] | {"can_add_comments": False}
    assert after["notification_settings"] == before["notification_settings"] | {
        "notify_on_access": True
    }
    assert after["metadata"] == {"created_by": "admin_key", "tags": ["x"]}
    assert after["custom_branding"] == {"logo_url": "https://example.com/l.png"}
    assert "expiry_date" not in after
    untouched = ("workorder", "link_token", "access_restrictions", "createdAt", "company_namespace")
    assert [after[name] for name in untouched] == [before[name] for name in untouched]


async def test_what_changes_nothing_is_no_change(service: Service) -> None:
    link = await service.create()
    for sent in ({}, {"is_active": True}, {"permissions": {"can_view_details": True}}):
        answer = await service.call("PATCH", f"{LINKS}/{link['_id']}", json=sent)
        assert answer.body["data"] == link


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        pytest.param('"0"', 200, id="the version"),
        pytest.param("*", 200, id="any"),
        pytest.param('"9", "0"', 200, id="a list"),
        pytest.param('"1"', 412, id="another version"),
        pytest.param('W/"0"', 412, id="weak"),
    ],
)
async def test_if_match(service: Service, if_match: str, status: int) -> None:
    link = await service.create()
    path, headers = f"{LINKS}/{link['_id']}", {"If-Match": if_match}
    answer = await service.call("PATCH", path, headers=headers, json={"is_active": False})
    assert answer.status == status
    now = (await service.call("GET", path)).body["data"]
    assert now["is_active"] is (status == 412)


async def test_activity_and_regeneration(service: Service) -> None:
    link = await service.create()
    path = f"{LINKS}/{link['_id']}"
    off = (await service.call("POST", f"{path}/deactivate")).body["data"]
    assert (off["is_active"], off["status"], off["__v"]) == (False, "inactive", 1)
    on = (await service.call("POST", f"{path}/activate")).body["data"]
    assert (on["is_active"], on["status"], on["__v"]) == (True, "active", 2)
    new = await service.call("POST", f"{path}/regenerate")
    assert new.headers["ETag"] == '"3"'
    assert new.body["data"]["link_token"] != link["link_token"]
    assert new.body["data"]["link_token"] in new.body["data"]["full_url"]
    assert (await service.call("DELETE", path)).body == {"success": True}
    assert (await service.call("GET", path)).status == 404
    assert (await service.call("DELETE", path)).status == 404


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        pytest.param({"is_active": False}, "inactive", id="inactive"),
        pytest.param({"expiry_date": "2001-01-01T00:00:00Z"}, "expired", id="expired"),
        pytest.param({"access_restrictions": {"max_uses": 1}}, "active", id="with uses left"),
    ],
)
async def test_status(service: Service, fields: dict[str, Any], status: str) -> None:
    assert (await service.create(**fields))["status"] == status


# ---- gates


async def test_a_password_is_set_verified_and_never_answered(service: Service) -> None:
    restrictions = {"password": "correct horse"}
    answer = await service.call(
        "POST", LINKS, json={"workorder": "1", "access_restrictions": restrictions}
    )
    data = answer.body["data"]
    assert data["access_restrictions"]["password_protected"] is True
    assert b"correct horse" not in answer.raw
    assert "password" not in data["access_restrictions"]
    record = await service.links.get(data["_id"])
    assert record is not None
    assert await service.passwords.verify("correct horse", record.link.password_hash)
    path = f"{LINKS}/{data['_id']}"
    off = {"access_restrictions": {"password_protected": False}}
    assert (await service.call("PATCH", path, json=off)).status == 200
    record = await service.links.get(data["_id"])
    assert record is not None
    assert record.link.password_hash is None
    on = {"access_restrictions": {"password_protected": True}}
    answer = await service.call("PATCH", path, json=on)
    assert (answer.status, answer.fields) == (422, ["access_restrictions.password_protected"])


async def test_a_stored_password_stays(service: Service) -> None:
    link = await service.create(access_restrictions={"password": "correct horse"})
    sent = {"access_restrictions": {"password_protected": True, "max_uses": 2}}
    answer = await service.call("PATCH", f"{LINKS}/{link['_id']}", json=sent)
    assert answer.body["data"]["access_restrictions"]["password_protected"] is True
    record = await service.links.get(link["_id"])
    assert record is not None
    assert await service.passwords.verify("correct horse", record.link.password_hash)


@pytest.mark.parametrize(
    ("restrictions", "change", "field"),
    [
        pytest.param({}, {"link_type": "secure"}, "link_type", id="made secure without a gate"),
        pytest.param(
            {"password": "12345678"},
            {"link_type": "secure", "access_restrictions": {"password_protected": False}},
            "link_type",
            id="made secure, and its gate taken down",
        ),
    ],
)
async def test_a_secure_link_keeps_a_gate(
    service: Service, restrictions: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    link = await service.create(access_restrictions=restrictions)
    answer = await service.call("PATCH", f"{LINKS}/{link['_id']}", json=change)
    assert (answer.status, answer.fields) == (422, [field])


@pytest.mark.parametrize(
    "restrictions",
    [
        pytest.param({"password": "12345678"}, id="password"),
        pytest.param({"require_email_verification": True}, id="email"),
    ],
)
async def test_the_last_gate_of_a_secure_link_stays(
    service: Service, restrictions: dict[str, Any]
) -> None:
    link = await service.create(link_type="secure", access_restrictions=restrictions)
    off = {"password_protected": False, "require_email_verification": False}
    path = f"{LINKS}/{link['_id']}"
    answer = await service.call("PATCH", path, json={"access_restrictions": off})
    assert (answer.status, answer.fields) == (422, ["access_restrictions"])
    # With the type lowered in the same change, it may go.
    lowered = {"link_type": "private", "access_restrictions": off}
    assert (await service.call("PATCH", path, json=lowered)).status == 200


# ---- refused fields

BAD_FIELDS: list[tuple[str, Any]] = [
    ("workorder", ""),
    ("workorder", "a/b"),
    ("workorder", ".."),
    ("workorder", "a\x00b"),
    ("workorder", "w" * 129),
    ("workorder", None),
    ("workorder", 7),
    ("link_type", "open"),
    ("link_type", "Public"),
    ("link_type", None),
    ("link_type", "secure"),
    ("is_active", "true"),
    ("is_active", 1),
    ("is_active", None),
    ("expiry_date", "2030-01-01T00:00:00"),
    ("expiry_date", "2030-01-01"),
    ("expiry_date", 1893456000),
    ("permissions", None),
    ("permissions", []),
    ("permissions.can_view_details", "yes"),
    ("permissions.can_fly", True),
    ("access_restrictions.allowed_ips.0", ["10.0.0.0/33"]),
    ("access_restrictions.allowed_ips.1", ["10.0.0.1", 5]),
    ("access_restrictions.allowed_ips", None),
    ("access_restrictions.allowed_ips", "10.0.0.1"),
    ("access_restrictions.allowed_ips", ["10.0.0.1"] * 1001),
    ("access_restrictions.max_uses", -1),
    ("access_restrictions.max_uses", 1.0),
    ("access_restrictions.max_uses", "1"),
    ("access_restrictions.max_uses", True),
    ("access_restrictions.max_uses", 2**53),
    ("access_restrictions.allowed_emails.0", ["nobody"]),
    ("access_restrictions.password", "short"),
    ("access_restrictions.password", "x" * 257),
    ("access_restrictions.password", None),
    ("access_restrictions.password_protected", True),
    ("notification_settings.notification_recipients.0", ["nobody"]),
    ("notification_settings.notification_recipients.0", ["@example.com"]),
    ("custom_branding.logo_url", "javascript:alert(1)"),
    ("custom_branding.logo_url", ""),
    ("custom_branding.brand_color", "#12345"),
    ("custom_branding.brand_color", "#123456\n"),
    ("custom_branding.custom_domain", "portal.example.com"),
    ("custom_branding.custom_domain", "PORTAL.example.com"),
    ("custom_branding.custom_domain", "work.example.org:8443"),
    ("custom_branding.custom_domain", "192.0.2.7"),
    ("custom_branding.custom_domain", "-work.example.org"),
    ("custom_branding.custom_domain", "a" * 64 + ".example.org"),
    ("custom_branding.footer_text", "x" * 501),
    ("custom_branding.footer_text", "\ud800"),
    ("metadata.purpose", "a\x00b"),
    ("metadata.purpose", 5),
    ("metadata.tags.0", [""]),
    ("metadata.tags", None),
    ("metadata.created_by", "me"),
    ("company_namespace.0", [""]),
    ("company_namespace.1", ["a", None]),
    ("company_namespace", "acme"),
    ("_id", NO_ID),
    ("__v", 5),
    ("status", "active"),
    ("full_url", "https://example.com"),
    ("usage_stats", {}),
    ("SVClient", 1),
    ("password", "12345678"),
]


def sent_for(field: str, value: Any) -> dict[str, Any]:
    """What to send so that `field` is at fault; an index in it belongs to the value."""
    return nested(field.removesuffix(".0").removesuffix(".1"), value)


@pytest.mark.parametrize(
    ("field", "value"),
    [pytest.param(f, v, id=f"{f}-{ascii(v)[:24]}") for f, v in BAD_FIELDS],
)
async def test_a_bad_field_is_named(service: Service, field: str, value: Any) -> None:
    answer = await service.call("POST", LINKS, json={"workorder": "1"} | sent_for(field, value))
    assert (answer.status, answer.fields) == (422, [field])
    assert answer.body["success"] is False
    assert all(detail["message"].endswith((".", "'")) for detail in answer.body["details"])


async def test_every_bad_field_is_named_at_once(service: Service) -> None:
    link = await service.create()
    answer = await service.call(
        "PATCH",
        f"{LINKS}/{link['_id']}",
        json={"workorder": "2", "nope": 1, "is_active": "no", "metadata": {"created_by": "x"}},
    )
    said = {detail["field"]: detail["message"] for detail in answer.body["details"]}
    assert said == {
        "workorder": "This field is read-only.",
        "nope": "There is no such field.",
        "is_active": "Give true or false.",
        "metadata.created_by": "This field is read-only.",
    }


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(field, id=field)
        for field in (
            "expiry_date",
            "metadata.purpose",
            "custom_branding.logo_url",
            "custom_branding.brand_color",
            "custom_branding.custom_domain",
            "custom_branding.footer_text",
        )
    ],
)
async def test_null_is_taken_where_it_clears(service: Service, field: str) -> None:
    link = await service.create(**nested(field, None))
    answer = await service.call("PATCH", f"{LINKS}/{link['_id']}", json=nested(field, None))
    assert answer.status == 200


async def test_a_work_order_of_any_text_where_the_routes_allow_it(sqlite_url: str) -> None:
    async with serve(sqlite_url, is_workorder=lambda text: True) as service:
        link = await service.create(workorder="a/b ..")
        assert link["workorder"] == "a/b .."
        answer = await service.call("POST", LINKS, json={"workorder": "a\x00b"})
        assert (answer.status, answer.fields) == (422, ["workorder"])


async def test_a_domain_belongs_to_its_namespaces(service: Service) -> None:
    domain = {"custom_domain": "work.example.org"}
    await service.create(company_namespace=["acme"], custom_branding=domain)
    await service.create(company_namespace=["beta", "acme"], custom_branding=domain)
    answer = await service.call(
        "POST",
        LINKS,
        json={"workorder": "1", "company_namespace": ["beta"], "custom_branding": domain},
    )
    assert (answer.status, answer.fields) == (422, ["custom_branding.custom_domain"])
    other = await service.create(company_namespace=["beta"])
    path = f"{LINKS}/{other['_id']}"
    answer = await service.call("PATCH", path, json={"custom_branding": domain})
    assert (answer.status, answer.fields) == (422, ["custom_branding.custom_domain"])


# ---- refused bodies


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        pytest.param(b"", None, 400, id="empty"),
        pytest.param(b"{", "application/json", 400, id="not JSON"),
        pytest.param(b'{"workorder": "1", "workorder": "2"}', None, 400, id="a field twice"),
        pytest.param(b'{"workorder": NaN}', None, 400, id="NaN"),
        pytest.param(b'{"workorder": "\xff"}', None, 400, id="not UTF-8"),
        pytest.param(b"[]", None, 422, id="a list"),
        pytest.param(b"null", None, 422, id="null"),
        pytest.param(b'{"workorder": "1"}', "text/plain", 415, id="text"),
        pytest.param(b"workorder=1", "application/x-www-form-urlencoded", 415, id="a form"),
        pytest.param(b'{"workorder": "1"}', "application/json; charset=utf-8", 201, id="charset"),
        pytest.param(b'{"workorder": "1"}', "Application/JSON", 201, id="upper case"),
        pytest.param(
            b'{"workorder": "1"}', "application/merge-patch+json", 415, id="another kind of JSON"
        ),
        pytest.param(b" " * (MIB - 18) + b'{"workorder": "1"}', None, 201, id="as large as may be"),
        pytest.param(b" " * (MIB - 17) + b'{"workorder": "1"}', None, 413, id="a byte too large"),
    ],
)
async def test_bodies(service: Service, body: bytes, content_type: str | None, status: int) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = await service.call("POST", LINKS, data=io.BytesIO(body), headers=headers)
    assert answer.status == status
    assert answer.body["success"] is (status == 201)


async def test_a_body_of_unknown_length_is_bounded(service: Service) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65536

    answer = await service.call("POST", LINKS, data=endless())
    assert answer.status == 413


async def test_a_compressed_body_is_not_read(service: Service) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = await service.call("POST", LINKS, data=b"\x1f\x8b", headers=headers)
    assert answer.status == 415


async def test_continue_is_said_to_holders_of_a_key(service: Service) -> None:
    body = json.dumps({"workorder": "1"}).encode()
    assert (await service.call("POST", LINKS, data=body, expect100=True)).status == 201
    refused = await service.call("POST", LINKS, key=None, data=body, expect100=True)
    assert refused.status == 401


async def test_the_body_of_a_get_is_ignored(service: Service) -> None:
    answer = await service.call("GET", LINKS, data=b"{", headers={"Content-Type": "text/plain"})
    assert answer.status == 200


# ---- addresses and verbs


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        pytest.param("PUT", LINKS, "GET, HEAD, POST", id="PUT on the links"),
        pytest.param("DELETE", LINKS, "GET, HEAD, POST", id="DELETE of the links"),
        pytest.param("POST", f"{LINKS}/{NO_ID}", "DELETE, GET, HEAD, PATCH", id="POST on a link"),
        pytest.param("GET", f"{LINKS}/{NO_ID}/activate", "POST", id="GET of an action"),
        pytest.param("OPTIONS", "/v1/keys", "GET, HEAD, POST", id="OPTIONS"),
        pytest.param("TRACE", "/metrics", "GET, HEAD", id="TRACE"),
        pytest.param("POST", "/docs", "GET, HEAD", id="POST on the page"),
    ],
)
async def test_another_verb(service: Service, method: str, path: str, allow: str) -> None:
    answer = await service.call(method, path)
    assert (answer.status, answer.headers["Allow"]) == (405, allow)
    assert answer.body["success"] is False


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", f"{LINKS}/", f"{LINKS}/{NO_ID}/", f"{LINKS}/{NO_ID}/nope", "/docs/../page.css"],
)
async def test_an_unknown_address(service: Service, path: str) -> None:
    answer = await service.call("GET", path)
    assert answer.status == 404
    assert answer.body == {"success": False, "error": "There is nothing at this address."}


@pytest.mark.parametrize("id", [NO_ID, "nope", "A" * 24, "%00", "0" * 23, "..%2f", "%F0%9F%98%80"])
@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/regenerate"),
        ("POST", "/activate"),
        ("POST", "/deactivate"),
        ("POST", "/unlock"),
        ("GET", "/access-log"),
    ],
)
async def test_no_such_link(service: Service, id: str, method: str, rest: str) -> None:
    body = {"is_active": True} if method == "PATCH" else None
    answer = await service.call(method, f"{LINKS}/{id}{rest}", json=body)
    assert answer.status == 404
    assert answer.body["success"] is False


async def test_head_is_a_get_without_its_body(service: Service) -> None:
    link = await service.create()
    for path in (LINKS, f"{LINKS}/{link['_id']}", "/openapi.json", "/docs", "/health/live"):
        head, get = await service.call("HEAD", path), await service.call("GET", path)
        assert (head.status, head.raw) == (200, b"")
        assert head.headers["Content-Length"] == str(len(get.raw))
        assert head.headers.get("ETag") == get.headers.get("ETag")


@pytest.mark.parametrize("path", [LINKS, "/nope", "/docs", "/metrics", "/openapi.json"])
@pytest.mark.parametrize("key", [ADMIN_KEY, None])
async def test_every_answer_is_guarded(service: Service, path: str, key: str | None) -> None:
    headers = (await service.call("GET", path, key=key)).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Server" not in headers


# ---- listing


async def test_pages(service: Service) -> None:
    for number in range(5):
        await service.create(workorder=f"WO-{number}")
    answer = await service.call("GET", f"{LINKS}?page=2&per_page=2&sort=workorder")
    assert [link["workorder"] for link in answer.body["data"]] == ["WO-2", "WO-3"]
    assert answer.body["paging"] == {"total": 5, "page": 2, "per_page": 2, "pages": 3}
    for page in (4, 2**31, 2**63, 10**100):
        answer = await service.call("GET", f"{LINKS}?page={page}")
        assert (answer.status, answer.body["data"]) == (200, [])
        assert answer.body["paging"]["page"] == page


async def test_an_empty_list(service: Service) -> None:
    answer = await service.call("GET", LINKS)
    paging = {"total": 0, "page": 1, "per_page": 25, "pages": 0}
    assert answer.body == {"success": True, "data": [], "paging": paging}


FILTERS = {
    "company_namespace=acme": "13",
    "company_namespace=acme,beta": "123",
    "company_namespace=acme&company_namespace=beta": "123",
    "company_namespace[]=acme&company_namespace[]=beta": "123",
    "company_namespace%5B%5D=beta": "23",
    "company_namespace=none": "",
    "company_namespace=": "1234",
    "workorder=2": "2",
    "workorder=": "",
    "is_active=true": "134",
    "is_active=false": "2",
    "link_type=public": "3",
    "link_type=private&is_active=true&company_namespace=acme": "1",
    f"_id={NO_ID}": "",
    "_id=nope,%F0%9F%98%80": "",
}


@pytest.mark.parametrize(("query", "found"), [pytest.param(q, f, id=q) for q, f in FILTERS.items()])
async def test_filters(service: Service, query: str, found: str) -> None:
    await service.create(workorder="1", company_namespace=["acme"])
    await service.create(workorder="2", company_namespace=["beta"], is_active=False)
    await service.create(workorder="3", company_namespace=["beta", "acme"], link_type="public")
    await service.create(workorder="4")
    answer = await service.call("GET", f"{LINKS}?sort=workorder&{query}")
    assert "".join(link["workorder"] for link in answer.body["data"]) == found


async def test_filter_by_ids(service: Service) -> None:
    made = [(await service.create(workorder=str(n)))["_id"] for n in range(3)]
    for query in (f"_id={made[0]},{made[2]}", f"_id={made[0]}&_id[]={made[2]}"):
        answer = await service.call("GET", f"{LINKS}?sort=workorder&{query}")
        assert [link["_id"] for link in answer.body["data"]] == [made[0], made[2]]


BAD_QUERIES = [
    ("page=0", "page"),
    ("page=-1", "page"),
    ("page=1.0", "page"),
    ("page=%2B1", "page"),
    ("page=1_0", "page"),
    ("page=٣", "page"),
    ("page=", "page"),
    ("page=1&page=2", "page"),
    ("page=" + "9" * 5000, "page"),
    ("per_page=0", "per_page"),
    ("per_page=101", "per_page"),
    ("sort=link_token", "sort"),
    ("sort=", "sort"),
    ("sort=--createdAt", "sort"),
    ("is_active=1", "is_active"),
    ("is_active=True", "is_active"),
    ("link_type=open", "link_type"),
    ("workorder=a%00", "workorder"),
    ("company_namespace=%00", "company_namespace.0"),
    ("colour=red", "colour"),
    ("page[]=1", "page[]"),
]


@pytest.mark.parametrize(
    ("query", "parameter"), [pytest.param(q, p, id=q[:30]) for q, p in BAD_QUERIES]
)
async def test_a_bad_parameter_is_named(service: Service, query: str, parameter: str) -> None:
    answer = await service.call("GET", f"{LINKS}?{query}")
    assert (answer.status, answer.fields) == (400, [parameter])
    assert parameter in answer.body["error"]


# ---- access log


def entry(link_id: str, at: float, **fields: Any) -> Entry:
    """An entry with this and that."""
    values: dict[str, Any] = {
        "address": "192.0.2.7",
        "user_agent": "Mozilla/5.0",
        "action": "view",
        "reason": "ok",
        "visitor": "v1",
        "email": None,
        "bot": False,
        "request_id": f"r{at}",
    }
    return Entry(link_id=link_id, at=at, **(values | fields))


async def absorb(log: AccessLogStore, entries: list[Entry]) -> None:
    await log.absorb("journal", START, Position(0, 1), entries)


async def test_the_access_log(service: Service) -> None:
    link, other = await service.create(), await service.create(workorder="2")
    day = 1_900_000_000.0
    entries = [
        entry(link["_id"], day + number, is_view=True, is_access=True) for number in range(59)
    ]
    last = entry(link["_id"], day + 59, action="denied", reason="ip_not_allowed", email="a@x.org")
    await absorb(service.access_log, [*entries, last])
    answer = await service.call("GET", LINKS)
    listed = {found["_id"]: found for found in answer.body["data"]}
    usage = listed[link["_id"]]["usage_stats"]
    assert (usage["total_views"], usage["unique_visitors"], usage["uses"]) == (59, 1, 0)
    assert usage["last_accessed"] == "2030-03-17T17:47:38Z"
    assert len(usage["access_log"]) == 50
    assert usage["access_log"][0] == {
        "timestamp": "2030-03-17T17:47:39Z",
        "ip_address": "192.0.2.7",
        "user_agent": "Mozilla/5.0",
        "action": "denied",
        "reason": "ip_not_allowed",
        "visitor": "v1",
        "email": "a@x.org",
        "bot": False,
        "request_id": f"r{day + 59}",
    }
    assert "email" not in usage["access_log"][1]
    assert listed[other["_id"]]["usage_stats"] == other["usage_stats"]
    path = f"{LINKS}/{link['_id']}/access-log"
    whole = (await service.call("GET", f"{path}?per_page=50&page=2")).body
    assert whole["paging"] == {"total": 60, "page": 2, "per_page": 50, "pages": math.ceil(60 / 50)}
    assert len(whole["data"]) == 10
    denied = (await service.call("GET", f"{path}?action=denied")).body
    assert [found["action"] for found in denied["data"]] == ["denied"]
    since = "since=2030-03-17T17:47:38Z&until=2030-03-17T17:47:39Z"
    assert (await service.call("GET", f"{path}?{since}")).body["paging"]["total"] == 1
    for query in ("since=yesterday", "until=2030-03-17T17:47:38", "before=1", "action=%00"):
        answer = await service.call("GET", f"{path}?{query}")
        assert (answer.status, answer.fields) == (400, [query.partition("=")[0]])


# ---- what needs no key


async def test_health(service: Service) -> None:
    assert (await service.call("GET", "/health/live", key=None)).status == 200
    ready = await service.call("GET", "/health/ready", key=None)
    assert ready.body == {"success": True, "parts": {"database": "up", "redis": "up"}}
    service.state |= {"database": False, "redis": "no route to it"}
    down = await service.call("GET", "/health/ready", key=None)
    assert (down.status, down.headers["Retry-After"]) == (503, "5")
    assert down.body["error"] == "Down: database, redis."
    assert down.body["details"] == [
        {"field": "database", "message": "down"},
        {"field": "redis", "message": "no route to it"},
    ]


async def test_metrics(service: Service) -> None:
    answer = await service.call("GET", "/metrics", key=None)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"portal_requests_in_flight 0.0" in answer.raw


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("domain=work.example.org", 200),
        ("domain=WORK.example.org.", 200),
        ("domain=portal.example.com", 200),
        ("domain=evil.example.org", 404),
        ("domain=%00", 404),
        ("domain=", 400),
        ("", 400),
        ("domain=a&domain=b", 400),
    ],
)
async def test_domains(service: Service, query: str, status: int) -> None:
    await service.create(custom_branding={"custom_domain": "work.example.org"})
    assert (await service.call("GET", f"/domains?{query}", key=None)).status == status


async def test_the_page_is_whole(service: Service) -> None:
    page = await service.call("GET", "/docs", key=None)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for path, kind in (("/docs/page.css", "text/css"), ("/docs/page.js", "text/javascript")):
        assert path.removeprefix("/").encode() in page.raw
        asset = await service.call("GET", path, key=None)
        assert asset.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert b"http://" not in page.raw
    assert b"https://" not in page.raw


# ---- the throttles


async def test_what_the_throttles_have_counted_is_told_and_cleared(service: Service) -> None:
    locked, other = await service.create(), await service.create()
    for each in (locked, other):
        await service.throttle.take_code(each["_id"], "ann@example.org", "192.0.2.1")
    for _ in range(12):
        await service.throttle.take_failure("password", locked["_id"], "192.0.2.1")
    listed = (await service.call("GET", LINKS)).body["data"]
    (told,) = [each["throttle"] for each in listed if each["_id"] == locked["_id"]]
    assert 3590 <= told.pop("retry_after") <= 3600
    assert told == {"failures": 10, "codes": 1, "locked": True}
    path = f"{LINKS}/{locked['_id']}"
    assert (await service.call("GET", path)).body["data"]["throttle"]["locked"] is True
    answer = await service.call("POST", f"{path}/unlock")
    clear = {"failures": 0, "codes": 0, "locked": False}
    assert (answer.status, answer.body["data"]["throttle"]) == (200, clear)
    # It is no change of the link; and it concerns no other one.
    assert answer.body["data"]["__v"] == 0
    assert (await service.call("GET", path)).body["data"]["throttle"] == clear
    listed = (await service.call("GET", LINKS)).body["data"]
    assert [each["throttle"]["codes"] for each in listed if each["_id"] == other["_id"]] == [1]
    assert (await service.throttle.take_failure("password", locked["_id"], "192.0.2.1")).allowed


async def test_without_redis_links_are_told_without_their_throttles(sqlite_url: str) -> None:
    away = f"redis://127.0.0.1:{free_port()}"
    async with serve(sqlite_url, redis_url=away) as service:
        link = await service.create()
        path = f"{LINKS}/{link['_id']}"
        assert "throttle" not in (await service.call("GET", path)).body["data"]
        listed = await service.call("GET", LINKS)
        assert [each["_id"] for each in listed.body["data"]] == [link["_id"]]
        assert "throttle" not in listed.body["data"][0]
        # What cannot be cleared is not said to be.
        answer = await service.call("POST", f"{path}/unlock")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert answer.body["error"] == "The redis is down. Try again later."


# ---- when a part is down


async def test_without_the_database_there_is_503(service: Service, tmp_path: Path) -> None:
    link = await service.create()
    await service.database.close()
    for file in tmp_path.glob("portal.db*"):
        file.unlink()
    (tmp_path / "portal.db").mkdir()
    one = f"{LINKS}/{link['_id']}"
    calls = [
        ("GET", LINKS, ADMIN_KEY, None),
        ("POST", LINKS, ADMIN_KEY, {"workorder": "1"}),
        ("PATCH", one, ADMIN_KEY, {"is_active": False}),
        ("DELETE", one, ADMIN_KEY, None),
        ("GET", "/v1/keys", ADMIN_KEY, None),
        ("GET", LINKS, "pgk_unknown", None),
        ("GET", "/domains?domain=work.example.org", None, None),
    ]
    for method, path, key, body in calls:
        answer = await service.call(method, path, key=key, json=body)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5"), (method, path)
        assert answer.body == {
            "success": False,
            "error": "The database is down. Try again later.",
        }
    assert (await service.call("GET", LINKS, key=None)).status == 401
    assert (await service.call("GET", "/health/live", key=None)).status == 200
    await end_of_sqlite_threads()


async def end_of_sqlite_threads() -> None:
    """Wait for the threads of connections that could not be made.

    aiosqlite does not: one that outlives the test's loop reports to a loop that is closed.
    """
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join, 5.0)


async def test_a_fault_of_ours_tells_and_logs_nothing_secret(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    link = await service.create(metadata={"purpose": "a secret purpose"})
    async with service.database.transaction() as connection:
        await connection.exec_driver_sql("UPDATE links SET token_sealed = 'a secret purpose'")
    answer = await service.call("GET", f"{LINKS}/{link['_id']}")
    assert answer.status == 500
    assert answer.body == {"success": False, "error": "Internal server error."}
    assert "SealBroken in GET /v1/workorder-portal-link/{id}" in caplog.text
    for secret in ("a secret purpose", link["link_token"], link["_id"], ADMIN_KEY):
        assert secret not in caplog.text
