"""Tenants: what is one company's is not another's, from the admin API to the backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.echo_backend import EchoBackend, echo, simple
from tests.echo_backend import answer as raw_answer
from tests.flow.doors import Link, admitted, path, restricted
from tests.portal import LINKS, Portal, running_portal

# One gateway for the whole module: every test makes links of its own.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Tenants:
    """A gateway for acme and globex, each with a backend of its own, and a default one."""

    portal: Portal
    backends: dict[str, EchoBackend]
    keys: dict[str, str]

    async def call(self, tenant: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Call the admin API with a tenant's own key."""
        return await self.portal.call(method, path, body, key=self.keys[tenant])

    async def link(self, *namespaces: str, **body: Any) -> Link:
        return await self.portal.link(company_namespace=list(namespaces), **body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tenants(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tenants]:
    backends = {name: await EchoBackend().start() for name in ("default", "acme", "globex")}
    try:
        async with running_portal(
            tmp_path_factory.mktemp("portal"),
            backend=backends["default"],
            upstream={
                "url": backends["default"].origin,
                "headers": {"X-Account": "default", "X-Only-Default": "yes"},
            },
            upstreams={
                "acme": {
                    "url": backends["acme"].origin,
                    "headers": {"X-Account": "acme for {workorder}", "X-Only-Acme": "yes"},
                },
                "globex": {"url": backends["globex"].origin, "path": "/cases/{workorder}"},
            },
        ) as portal:
            keys = {}
            for name in ("acme", "globex"):
                body = {"name": name, "role": "editor", "namespaces": [name]}
                status, answer = await portal.call("POST", "/v1/keys", body)
                assert status == 201
                keys[name] = answer["data"]["secret"]
            yield Tenants(portal, backends, keys)
    finally:
        for backend in backends.values():
            await backend.stop()


# ---- the admin API


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "", None),
    ("GET", "/access-log", None),
    ("PATCH", "", {"is_active": False}),
    ("PATCH", "", {"company_namespace": ["acme"]}),
    ("POST", "/regenerate", None),
    ("POST", "/activate", None),
    ("POST", "/deactivate", None),
    ("DELETE", "", None),
]


@pytest.mark.parametrize(
    ("method", "below", "body"), [pytest.param(*c, id=f"{c[0]} {c[1]} {c[2]}") for c in CALLS]
)
@pytest.mark.parametrize(
    "namespaces", [pytest.param(["globex"], id="another's"), pytest.param([], id="nobody's")]
)
async def test_what_is_not_ones_own_does_not_exist(
    tenants: Tenants, namespaces: list[str], method: str, below: str, body: Any
) -> None:
    link = await tenants.link(*namespaces)
    status, answer = await tenants.call("acme", method, f"{LINKS}/{link['_id']}{below}", body)
    assert status == 404
    assert link["link_token"] not in str(answer)
    _, after = await tenants.portal.call("GET", f"{LINKS}/{link['_id']}")
    assert after["data"] == link


SHARED: list[tuple[str, str, Any, int]] = [
    ("GET", "", None, 200),
    ("GET", "/access-log", None, 200),
    ("PATCH", "", {"is_active": False}, 403),
    ("PATCH", "", {"company_namespace": ["acme"]}, 403),
    ("POST", "/regenerate", None, 403),
    ("POST", "/deactivate", None, 403),
    ("DELETE", "", None, 403),
]


@pytest.mark.parametrize(
    ("method", "below", "body", "status"),
    [pytest.param(*c, id=f"{c[0]} {c[1]} {c[2]}") for c in SHARED],
)
async def test_what_is_shared_is_read_and_not_changed(
    tenants: Tenants, method: str, below: str, body: Any, status: int
) -> None:
    link = await tenants.link("acme", "globex")
    found, _ = await tenants.call("acme", method, f"{LINKS}/{link['_id']}{below}", body)
    assert found == status
    _, after = await tenants.portal.call("GET", f"{LINKS}/{link['_id']}")
    assert after["data"] == link


async def test_lists_hold_what_is_ones_own(tenants: Tenants) -> None:
    own, shared = await tenants.link("acme"), await tenants.link("acme", "globex")
    theirs, nobodys = await tenants.link("globex"), await tenants.link()
    ids = ",".join(link["_id"] for link in (own, shared, theirs, nobodys))
    for query in (f"_id={ids}", f"_id={ids}&company_namespace=acme,globex"):
        _, answer = await tenants.call("acme", "GET", f"{LINKS}?{query}")
        assert {link["_id"] for link in answer["data"]} == {own["_id"], shared["_id"]}
        assert answer["paging"]["total"] == 2


@pytest.mark.parametrize(
    "namespaces",
    [
        pytest.param(["globex"], id="another's"),
        pytest.param(["acme", "globex"], id="shared with another"),
    ],
)
async def test_nothing_is_made_for_another(tenants: Tenants, namespaces: list[str]) -> None:
    body = {"workorder": "1", "company_namespace": namespaces}
    status, _ = await tenants.call("acme", "POST", LINKS, body)
    assert status == 403
    own = await tenants.link("acme")
    change = {"company_namespace": namespaces}
    status, _ = await tenants.call("acme", "PATCH", f"{LINKS}/{own['_id']}", change)
    assert status == 403


async def test_a_link_made_without_namespaces_is_of_the_keys(tenants: Tenants) -> None:
    status, answer = await tenants.call("acme", "POST", LINKS, {"workorder": "1"})
    assert (status, answer["data"]["company_namespace"]) == (201, ["acme"])
    change = {"company_namespace": []}
    status, _ = await tenants.call("acme", "PATCH", f"{LINKS}/{answer['data']['_id']}", change)
    assert status == 403


async def test_keys_are_not_for_editors(tenants: Tenants) -> None:
    body = {"name": "mine", "role": "admin"}
    for method, sent in (("GET", None), ("POST", body)):
        status, _ = await tenants.call("acme", method, "/v1/keys", sent)
        assert status == 403


# ---- domains


async def test_a_domain_is_its_first_tenants(tenants: Tenants) -> None:
    domain = "work.globex.example"
    await tenants.link("globex", custom_branding={"custom_domain": domain})
    body = {"workorder": "1", "custom_branding": {"custom_domain": domain}}
    status, answer = await tenants.call("acme", "POST", LINKS, body)
    assert status == 422
    assert "custom_domain" in answer["details"][0]["field"]
    own = await tenants.link("acme")
    status, _ = await tenants.call(
        "acme", "PATCH", f"{LINKS}/{own['_id']}", {"custom_branding": {"custom_domain": domain}}
    )
    assert status == 422
    # On that host a link of acme's is nobody, whatever is done.
    visitor = tenants.portal.visitor(Host=domain)
    assert (await visitor.get(path(own))).reason == "misdirected"


async def test_the_public_host_is_nobodys_domain(tenants: Tenants) -> None:
    host = tenants.portal.origin.removeprefix("http://")
    for domain in (host, "127.0.0.1"):
        body = {"workorder": "1", "custom_branding": {"custom_domain": domain}}
        status, _ = await tenants.call("acme", "POST", LINKS, body)
        assert status == 422


# ---- backends


@pytest.mark.parametrize(
    ("namespaces", "backend", "line"),
    [
        pytest.param([], "default", b"GET /workorders/42 HTTP/1.1", id="none"),
        pytest.param(["initech"], "default", b"GET /workorders/42 HTTP/1.1", id="unknown"),
        pytest.param(["acme"], "acme", b"GET /workorders/42 HTTP/1.1", id="acme"),
        pytest.param(["initech", "acme"], "acme", b"GET /workorders/42 HTTP/1.1", id="the second"),
        pytest.param(["acme", "globex"], "acme", b"GET /workorders/42 HTTP/1.1", id="the first"),
    ],
)
async def test_a_links_backend(
    tenants: Tenants, namespaces: list[str], backend: str, line: bytes
) -> None:
    link = await tenants.link(*namespaces)
    before = {name: len(each.requests) for name, each in tenants.backends.items()}
    visitor = tenants.portal.visitor(X_Account="forged", X_Only_Default="forged")
    assert (await visitor.get(path(link))).status == 200
    asked = [name for name, each in tenants.backends.items() if len(each.requests) > before[name]]
    assert asked == [backend]
    request = tenants.backends[backend].last
    assert request.request_line == line
    own = {
        "default": (b"default", b"yes", None),
        "acme": (b"acme for 42", b"forged", b"yes"),
    }[backend]
    found = tuple(request.one(n) for n in (b"X-Account", b"X-Only-Default", b"X-Only-Acme"))
    assert found == own


async def test_paths_are_a_backends_own(tenants: Tenants) -> None:
    """`globex` has its own landing page; no row of the inherited table allows it."""
    link = await tenants.link("globex")
    visitor = tenants.portal.visitor()
    sent = await visitor.get(path(link), navigate=True)
    assert sent.headers["Location"] == "/cases/42"
    assert (await visitor.get("/cases/42")).reason == "no_route"
    assert (await visitor.get("/workorders/42")).status == 200
    request = tenants.backends["globex"].last
    assert request.all(b"X-Account") == []


async def test_a_session_does_not_reach_another_tenants_backend(tenants: Tenants) -> None:
    """The same work order's number at two companies: each session sees its own company's."""
    acme, globex = await tenants.link("acme"), await tenants.link("globex")
    visitor = await admitted(tenants.portal, acme)
    before = len(tenants.backends["globex"].requests)
    assert (await visitor.get("/workorders/42")).status == 200
    assert len(tenants.backends["globex"].requests) == before
    # Moved to the other company, the old session is none.
    await tenants.portal.change(acme, company_namespace=["globex"])
    assert (await visitor.get("/workorders/42")).reason == "session_required"
    await visitor.get(path(globex), navigate=True)
    await visitor.get("/workorders/42")
    assert tenants.backends["globex"].last.one(b"X-Portal-Link") == globex["_id"].encode()


async def test_a_redirect_does_not_lead_to_another_backend(tenants: Tenants) -> None:
    link = await tenants.link("acme", **restricted(allowed_ips=[]))
    visitor = await admitted(tenants.portal, link)
    backend = tenants.backends["acme"]
    try:
        for target, location in (
            (f"{backend.origin}/workorders/42/comments", "/workorders/42/comments"),
            (f"{tenants.backends['globex'].origin}/workorders/42/comments", "/workorders/42"),
            ("/workorders/43", "/workorders/42"),
        ):
            raw = simple(b"", f"Location: {target}", status="302 Found")
            backend.behave = raw_answer(raw)
            sent = await visitor.get("/workorders/42")
            assert sent.status == 302
            assert sent.headers["Location"].removeprefix(tenants.portal.origin) == location
    finally:
        backend.behave = echo
