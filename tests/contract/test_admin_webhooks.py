"""Webhooks that have not arrived, as their owners see them and have them sent again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from gateway.crypto.tokens import new_id
from gateway.links.model import EventKind
from gateway.store.deliveries import DeliveryQuery, NewDelivery
from gateway.store.keys import Role
from tests.admin_service import Service, serve

DELIVERIES = "/v1/webhook-deliveries"
SECRETS = ("anna@visitor.example", "whsec_", "wpl_")


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Service]:
    async with serve(database_url) as running:
        yield running


async def entered(service: Service, webhook: str, link_id: str) -> str:
    """A webhook that waits; its id."""
    body = '{"visitor":"anna@visitor.example"}'
    new = NewDelivery(new_id(), webhook, link_id, EventKind.FILE_UPLOAD, body)
    async with service.database.transaction() as connection:
        await service.deliveries.add(connection, time.time(), [new])
    return new.id


async def buried(service: Service, webhook: str, link_id: str, status: int | None = 410) -> str:
    """A dead webhook; its id."""
    id = await entered(service, webhook, link_id)
    claimed = await service.deliveries.claim(webhook, time.time() + 1, 100, 60.0)
    (own,) = (each for each in claimed if each.id == id)
    await service.deliveries.bury(own, status, None if status else "it took too long")
    return id


async def listed(service: Service, query: str = "", **more: str) -> list[str]:
    """The ids on a page."""
    answer = await service.call("GET", DELIVERIES + query, **more)
    assert answer.status == 200, answer.body
    assert not any(secret in answer.raw.decode() for secret in SECRETS)
    return [each["_id"] for each in answer.body["data"]]


async def test_what_is_told_of_a_webhook(service: Service) -> None:
    link = await service.create(company_namespace=["acme"])
    id = await buried(service, "acme", link["_id"])
    answer = await service.call("GET", DELIVERIES)
    assert answer.body["paging"] == {"total": 1, "page": 1, "per_page": 25, "pages": 1}
    (delivery,) = answer.body["data"]
    assert delivery.pop("createdAt").endswith("Z")
    assert delivery == {
        "_id": id,
        "webhook": "acme",
        "link_id": link["_id"],
        "type": "portal.link.file_uploaded",
        "state": "dead",
        "attempts": 1,
        "status_code": 410,
    }


async def test_a_webhook_without_an_answer_says_why(service: Service) -> None:
    await buried(service, "acme", new_id(), status=None)
    (delivery,) = (await service.call("GET", DELIVERIES)).body["data"]
    assert delivery["failure"] == "it took too long"
    assert "status_code" not in delivery


async def test_pages_and_states(service: Service) -> None:
    dead = [await buried(service, "acme", new_id()) for _ in range(3)]
    waiting = await entered(service, "acme", new_id())
    assert await listed(service) == [waiting, *dead[::-1]]
    assert await listed(service, "?state=dead") == dead[::-1]
    assert await listed(service, "?state=pending") == [waiting]
    assert await listed(service, "?per_page=3&page=2") == [dead[0]]
    assert await listed(service, f"?page={10**30}") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("?state=gone", "state", id="no such state"),
        pytest.param("?state=dead&state=pending", "state", id="twice"),
        pytest.param("?webhook=acme", "webhook", id="no such parameter"),
        pytest.param("?page=0", "page", id="no such page"),
    ],
)
async def test_bad_queries(service: Service, query: str, field: str) -> None:
    answer = await service.call("GET", DELIVERIES + query)
    assert (answer.status, answer.fields) == (400, [field])


async def test_a_dead_one_is_sent_again_with_its_id(service: Service) -> None:
    id = await buried(service, "acme", new_id())
    answer = await service.call("POST", f"{DELIVERIES}/{id}/resend")
    assert answer.status == 200
    assert (answer.body["data"]["_id"], answer.body["data"]["state"]) == (id, "pending")
    assert answer.body["data"]["attempts"] == 0
    (due,) = await service.deliveries.claim("acme", time.time() + 1, 5, 60.0)
    assert due.id == id


async def test_one_that_is_still_tried_stays_as_it_is(service: Service) -> None:
    id = await entered(service, "acme", new_id())
    (claimed,) = await service.deliveries.claim("acme", time.time() + 1, 5, 60.0)
    answer = await service.call("POST", f"{DELIVERIES}/{id}/resend")
    assert (answer.status, answer.body["data"]["attempts"]) == (200, 1)
    assert await service.deliveries.remove(claimed), "the claim holds"
    assert (await service.call("POST", f"{DELIVERIES}/{id}/resend")).status == 404


@pytest.mark.parametrize(
    "id",
    [
        pytest.param("0" * 24, id="unknown"),
        pytest.param("x", id="no id"),
        pytest.param("%00" * 24, id="not storable"),
    ],
)
async def test_what_is_not_there_is_not_sent(service: Service, id: str) -> None:
    assert (await service.call("POST", f"{DELIVERIES}/{id}/resend")).status == 404


async def test_roles(service: Service) -> None:
    id = await buried(service, "acme", new_id())
    viewer, editor = await service.key(Role.VIEWER), await service.key(Role.EDITOR)
    assert await listed(service, key=viewer) == [id]
    assert (await service.call("POST", f"{DELIVERIES}/{id}/resend", key=viewer)).status == 403
    assert (await service.call("POST", f"{DELIVERIES}/{id}/resend", key=editor)).status == 200
    assert (await service.call("GET", DELIVERIES, key=None)).status == 401


async def test_a_key_with_namespaces_sees_and_sends_what_is_its_own(service: Service) -> None:
    own = await service.create(company_namespace=["acme"])
    shared = await service.create(company_namespace=["acme", "globex"])
    others = await service.create(company_namespace=["globex"])
    of_own = await buried(service, "acme", own["_id"])
    of_shared = await buried(service, "globex", shared["_id"])
    of_others = await buried(service, "globex", others["_id"])
    of_gone = await buried(service, "acme", new_id())
    of_nobody = await buried(service, "*", new_id())
    key = await service.key(Role.EDITOR, "acme")
    assert await listed(service, key=key) == [of_gone, of_shared, of_own]

    async def resent(id: str) -> int:
        return (await service.call("POST", f"{DELIVERIES}/{id}/resend", key=key)).status

    assert await resent(of_own) == 200
    assert await resent(of_gone) == 200
    assert await resent(of_shared) == 403
    assert await resent(of_others) == 404
    assert await resent(of_nobody) == 404
    left, _ = await service.deliveries.page(DeliveryQuery(state=None))
    still_dead = {each.id for each in left if each.state.value == "dead"}
    assert still_dead == {of_shared, of_others, of_nobody}
