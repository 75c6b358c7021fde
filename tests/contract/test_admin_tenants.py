"""Keys: who is let in, what each role may do, and what a key with namespaces cannot reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.store.keys import Role
from tests.admin_service import ADMIN_KEY, LINKS, Service, serve

NO_ID = "0" * 24
KEYS = "/v1/keys"
DOMAIN = "work.example.org"


@pytest.fixture
async def service(sqlite_url: str) -> AsyncIterator[Service]:
    async with serve(sqlite_url) as running:
        yield running


# ---- who is let in


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Authorization": f"Bearer {ADMIN_KEY}"}, 200, id="bearer"),
        pytest.param({"Authorization": f"bearer  {ADMIN_KEY}"}, 200, id="spelled otherwise"),
        pytest.param({"api-key": ADMIN_KEY}, 200, id="api-key"),
        pytest.param({"API-Key": ADMIN_KEY}, 200, id="api-key spelled otherwise"),
        pytest.param(
            {"api-key": ADMIN_KEY, "Authorization": f"Bearer {ADMIN_KEY}"}, 200, id="both, equal"
        ),
        pytest.param(
            {"api-key": "x", "Authorization": f"Bearer {ADMIN_KEY}"}, 401, id="both, different"
        ),
        pytest.param(
            {"api-key": ADMIN_KEY, "Authorization": "Basic eDp5"}, 401, id="beside another scheme"
        ),
        pytest.param({}, 401, id="none"),
        pytest.param({"Authorization": ADMIN_KEY}, 401, id="no scheme"),
        pytest.param({"Authorization": f"Basic {ADMIN_KEY}"}, 401, id="another scheme"),
        pytest.param({"Authorization": "Bearer"}, 401, id="no key"),
        pytest.param({"Authorization": "Bearer "}, 401, id="an empty key"),
        pytest.param({"api-key": ""}, 401, id="an empty api-key"),
        pytest.param({"Authorization": f"Bearer {ADMIN_KEY}x"}, 401, id="wrong"),
        pytest.param({"Authorization": f"Bearer {ADMIN_KEY[:-1]}"}, 401, id="cut"),
        pytest.param({"Authorization": "Bearer " + "k" * 4000}, 401, id="endless"),
        pytest.param({"Authorization": "Bearer schlüssel"}, 401, id="beyond ASCII"),
        pytest.param({"Cookie": f"api-key={ADMIN_KEY}"}, 401, id="in a cookie"),
    ],
)
async def test_keys_at_the_door(service: Service, headers: dict[str, str], status: int) -> None:
    answer = await service.call("GET", LINKS, key=None, headers=headers)
    assert answer.status == status
    assert answer.headers.get("WWW-Authenticate", "").startswith("Bearer") is (status == 401)
    assert ADMIN_KEY not in str(answer.body)


async def test_a_key_in_the_address_is_no_key(service: Service) -> None:
    answer = await service.call("GET", f"{LINKS}?api-key={ADMIN_KEY}", key=None)
    assert answer.status == 401


async def test_the_body_is_not_looked_at_before_the_key(service: Service) -> None:
    answer = await service.call("POST", LINKS, key="nobody", data=b"{")
    assert answer.status == 401


CALLS: list[tuple[str, str, Any, Role]] = [
    ("GET", LINKS, None, Role.VIEWER),
    ("GET", f"{LINKS}/{{id}}", None, Role.VIEWER),
    ("GET", f"{LINKS}/{{id}}/access-log", None, Role.VIEWER),
    ("POST", LINKS, {"workorder": "1"}, Role.EDITOR),
    ("PATCH", f"{LINKS}/{{id}}", {"is_active": True}, Role.EDITOR),
    ("POST", f"{LINKS}/{{id}}/regenerate", None, Role.EDITOR),
    ("POST", f"{LINKS}/{{id}}/activate", None, Role.EDITOR),
    ("POST", f"{LINKS}/{{id}}/deactivate", None, Role.EDITOR),
    ("POST", f"{LINKS}/{{id}}/unlock", None, Role.EDITOR),
    ("DELETE", f"{LINKS}/{{id}}", None, Role.EDITOR),
    ("GET", KEYS, None, Role.ADMIN),
    ("POST", KEYS, {"name": "n", "role": "viewer"}, Role.ADMIN),
    ("DELETE", f"{KEYS}/{NO_ID}", None, Role.ADMIN),
]
LADDER = [Role.VIEWER, Role.EDITOR, Role.ADMIN]


@pytest.mark.parametrize("role", LADDER)
@pytest.mark.parametrize(
    ("method", "path", "body", "needed"),
    [pytest.param(*call, id=f"{call[0]} {call[1]}") for call in CALLS],
)
async def test_roles(
    service: Service, role: Role, method: str, path: str, body: Any, needed: Role
) -> None:
    link, key = await service.create(), await service.key(role)
    answer = await service.call(method, path.format(id=link["_id"]), key=key, json=body)
    allowed = LADDER.index(role) >= LADDER.index(needed)
    assert (answer.status == 403) is not allowed
    if not allowed:
        assert needed.value in answer.body["error"]


async def test_a_revoked_key_holds_no_more(service: Service) -> None:
    made = await service.call("POST", KEYS, json={"name": "gone soon", "role": "viewer"})
    key = made.body["data"]
    assert (await service.call("GET", LINKS, key=key["secret"])).status == 200
    assert (await service.call("DELETE", f"{KEYS}/{key['_id']}")).body == {"success": True}
    assert (await service.call("GET", LINKS, key=key["secret"])).status == 401
    assert (await service.call("DELETE", f"{KEYS}/{key['_id']}")).status == 404


# ---- keys


async def test_a_secret_is_told_once(service: Service) -> None:
    sent = {"name": "integration", "role": "editor", "namespaces": ["acme", "acme"]}
    made = await service.call("POST", KEYS, json=sent)
    data = made.body["data"]
    assert made.status == 201
    assert data["secret"].startswith("pgk_")
    assert (data["name"], data["role"], data["namespaces"]) == ("integration", "editor", ["acme"])
    assert "last_used" not in data
    await service.call("GET", LINKS, key=data["secret"])
    listed = await service.call("GET", KEYS)
    assert data["secret"].encode() not in listed.raw
    (shown,) = listed.body["data"]
    assert shown.pop("last_used") >= shown["createdAt"]
    assert shown == {name: value for name, value in data.items() if name != "secret"}


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        pytest.param({}, ["name", "role"], id="nothing"),
        pytest.param({"name": "", "role": "viewer"}, ["name"], id="no name"),
        pytest.param({"name": "n" * 101, "role": "viewer"}, ["name"], id="a long name"),
        pytest.param({"name": "a\x00", "role": "viewer"}, ["name"], id="NUL"),
        pytest.param({"name": "n", "role": "root"}, ["role"], id="no such role"),
        pytest.param({"name": "n", "role": None}, ["role"], id="null"),
        pytest.param(
            {"name": "n", "role": "viewer", "namespaces": [""]}, ["namespaces.0"], id="no namespace"
        ),
        pytest.param({"name": "n", "role": "viewer", "secret": "s"}, ["secret"], id="a secret"),
    ],
)
async def test_bad_keys(service: Service, sent: dict[str, Any], fields: list[str]) -> None:
    answer = await service.call("POST", KEYS, json=sent)
    assert (answer.status, answer.fields) == (422, fields)


@pytest.mark.parametrize(
    ("namespaces", "status"),
    [
        pytest.param(["acme"], 201, id="its own"),
        pytest.param(["acme", "acme-lab"], 201, id="all its own"),
        pytest.param(["acme", "beta"], 403, id="one foreign"),
        pytest.param(["beta"], 403, id="foreign"),
        pytest.param([], 403, id="none: it would reach everything"),
    ],
)
async def test_a_scoped_admin_manages_its_own_keys(
    service: Service, namespaces: list[str], status: int
) -> None:
    admin = await service.key(Role.ADMIN, "acme", "acme-lab", name="acme's admin")
    sent = {"name": "k", "role": "admin", "namespaces": namespaces}
    assert (await service.call("POST", KEYS, key=admin, json=sent)).status == status
    # Made by somebody else, the same key is not to be seen or revoked, either.
    made = (await service.call("POST", KEYS, json=sent)).body["data"]
    listed = (await service.call("GET", KEYS, key=admin)).body["data"]
    assert (made["_id"] in {key["_id"] for key in listed}) is (status == 201)
    revoked = await service.call("DELETE", f"{KEYS}/{made['_id']}", key=admin)
    assert revoked.status == (200 if status == 201 else 404)
    still = await service.call("GET", LINKS, key=made["secret"])
    assert still.status == (401 if status == 201 else 200)


# ---- links

LINK_NAMESPACES = [
    # namespaces of the link, is it seen, is it changed, by a key of acme and acme-lab
    pytest.param(["acme"], True, True, id="its own"),
    pytest.param(["acme-lab", "acme"], True, True, id="all its own"),
    pytest.param(["acme", "beta"], True, False, id="shared"),
    pytest.param(["beta"], False, False, id="foreign"),
    pytest.param(["Acme"], False, False, id="another spelling"),
    pytest.param([], False, False, id="none"),
]
CHANGES: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"is_active": False}),
    ("PATCH", "", {"custom_branding": {"custom_domain": DOMAIN}}),
    ("PATCH", "", {"access_restrictions": {"password": "taken over"}}),
    ("PATCH", "", {"company_namespace": ["acme"]}),
    ("PATCH", "", {}),
    ("POST", "/regenerate", None),
    ("POST", "/activate", None),
    ("POST", "/deactivate", None),
    ("POST", "/unlock", None),
    ("DELETE", "", None),
]


@pytest.mark.parametrize(("namespaces", "seen", "owned"), LINK_NAMESPACES)
async def test_a_scoped_key_reads(
    service: Service, namespaces: list[str], seen: bool, owned: bool
) -> None:
    link = await service.create(company_namespace=namespaces)
    key = await service.key(Role.VIEWER, "acme", "acme-lab")
    path = f"{LINKS}/{link['_id']}"
    for tail in ("", "/access-log"):
        answer = await service.call("GET", path + tail, key=key)
        assert answer.status == (200 if seen else 404)
        assert seen or link["link_token"].encode() not in answer.raw
    for query in (
        "",
        f"?_id={link['_id']}",
        "?company_namespace=beta,acme,Acme",
        "?workorder=WO-1",
    ):
        answer = await service.call("GET", LINKS + query, key=key)
        ids = [found["_id"] for found in answer.body["data"]]
        wanted = seen and ("namespace" not in query or bool({"acme", "beta"} & set(namespaces)))
        assert ids == ([link["_id"]] if wanted else [])
        assert answer.body["paging"]["total"] == len(ids)


@pytest.mark.parametrize(("namespaces", "seen", "owned"), LINK_NAMESPACES)
@pytest.mark.parametrize(
    ("method", "tail", "body"),
    [pytest.param(*change, id=f"{change[0]} {change[1]} {change[2]}") for change in CHANGES],
)
async def test_a_scoped_key_changes(
    service: Service,
    namespaces: list[str],
    seen: bool,
    owned: bool,
    method: str,
    tail: str,
    body: Any,
) -> None:
    link = await service.create(company_namespace=namespaces)
    key = await service.key(Role.EDITOR, "acme", "acme-lab")
    path = f"{LINKS}/{link['_id']}"
    answer = await service.call(method, path + tail, key=key, json=body)
    assert answer.status == (200 if owned else 403 if seen else 404)
    if not owned:
        assert link["link_token"].encode() not in answer.raw
        assert (await service.call("GET", path)).body["data"] == link


@pytest.mark.parametrize(
    ("namespaces", "status"),
    [
        pytest.param(["acme-lab"], 200, id="within its own"),
        pytest.param(["acme", "beta"], 403, id="shared with another"),
        pytest.param(["beta"], 403, id="given away"),
        pytest.param([], 403, id="let loose"),
    ],
)
async def test_a_scoped_key_keeps_its_links_its_own(
    service: Service, namespaces: list[str], status: int
) -> None:
    link = await service.create(company_namespace=["acme"])
    key = await service.key(Role.EDITOR, "acme", "acme-lab")
    path, sent = f"{LINKS}/{link['_id']}", {"company_namespace": namespaces}
    assert (await service.call("PATCH", path, key=key, json=sent)).status == status
    now = (await service.call("GET", path)).body["data"]["company_namespace"]
    assert now == (namespaces if status == 200 else ["acme"])


@pytest.mark.parametrize(
    ("sent", "status", "made_in"),
    [
        pytest.param({}, 201, ["acme", "acme-lab"], id="none: the key's"),
        pytest.param({"company_namespace": []}, 201, ["acme", "acme-lab"], id="empty: the key's"),
        pytest.param({"company_namespace": ["acme-lab"]}, 201, ["acme-lab"], id="one of its own"),
        pytest.param({"company_namespace": ["acme", "beta"]}, 403, None, id="one foreign"),
        pytest.param({"company_namespace": ["beta"]}, 403, None, id="foreign"),
    ],
)
async def test_a_scoped_key_makes(
    service: Service, sent: dict[str, Any], status: int, made_in: list[str] | None
) -> None:
    key = await service.key(Role.EDITOR, "acme", "acme-lab", name="acme's editor")
    answer = await service.call("POST", LINKS, key=key, json={"workorder": "1", **sent})
    assert answer.status == status
    if made_in is not None:
        assert answer.body["data"]["company_namespace"] == made_in
        assert answer.body["data"]["metadata"]["created_by"] == "acme's editor"
    total = (await service.call("GET", LINKS)).body["paging"]["total"]
    assert total == (0 if made_in is None else 1)


async def test_a_scoped_key_cannot_take_a_domain(service: Service) -> None:
    branding = {"custom_domain": DOMAIN}
    await service.create(company_namespace=["beta"], custom_branding=branding)
    await service.create(workorder="free", custom_branding={"custom_domain": "free.example.org"})
    key = await service.key(Role.EDITOR, "acme")
    for domain in (DOMAIN, DOMAIN.upper(), "free.example.org"):
        sent = {"workorder": "1", "custom_branding": {"custom_domain": domain}}
        answer = await service.call("POST", LINKS, key=key, json=sent)
        assert (answer.status, answer.fields) == (422, ["custom_branding.custom_domain"])


async def test_of_two_changes_on_one_version_one_is_made(service: Service) -> None:
    link = await service.create()
    path, headers = f"{LINKS}/{link['_id']}", {"If-Match": '"0"'}
    answers = await asyncio.gather(
        *(
            service.call("PATCH", path, headers=headers, json={"metadata": {"purpose": str(n)}})
            for n in range(8)
        )
    )
    assert sorted(answer.status for answer in answers) == [200] + [412] * 7
    assert (await service.call("GET", path)).body["data"]["__v"] == 1


async def test_changes_of_different_fields_at_once_are_all_made(service: Service) -> None:
    link = await service.create()
    path = f"{LINKS}/{link['_id']}"
    names = list(link["permissions"])
    turned = {name: not link["permissions"][name] for name in names}
    await asyncio.gather(
        *(service.call("PATCH", path, json={"permissions": {name: turned[name]}}) for name in names)
    )
    after = (await service.call("GET", path)).body["data"]
    assert after["permissions"] == turned
    assert after["__v"] == len(names)
