"""Webhooks: whose they are, what they say, and how they are signed."""

from __future__ import annotations

import json
import time
from base64 import b64decode
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway.links.model import EventKind
from gateway.notify.webhooks import TYPES, webhook_body, webhook_headers, webhooks_of
from gateway.store.entry import Event
from tests.records import new_record

NOW = 1_780_000_000.5
LINK = new_record(workorder="WO-7", namespaces=("acme", "globex")).link
EVENT = Event(LINK.id, NOW, EventKind.FILE_UPLOAD, "203.0.113.0", "anna@visitor.example", "r-1")


@pytest.mark.parametrize(
    ("namespaces", "configured", "told"),
    [
        pytest.param(["acme"], ["acme", "globex"], ["acme"], id="its own"),
        pytest.param(["b", "a"], ["a", "b", "c"], ["b", "a"], id="one for each that has one"),
        pytest.param(["acme"], ["globex"], [], id="another's"),
        pytest.param([], ["acme"], [], id="in no namespace"),
        pytest.param(["acme"], ["acme", "*"], ["acme"], id="its own, and not the general one"),
        pytest.param(["acme"], ["globex", "*"], ["*"], id="none of its own"),
        pytest.param([], ["*"], ["*"], id="in no namespace, and a general one"),
        pytest.param(["*"], ["acme"], [], id="a namespace with that name has none of its own"),
        pytest.param(["*", "acme"], ["acme", "*"], ["acme"], id="nor twice"),
        pytest.param(["acme"], [], [], id="none is configured"),
    ],
)
def test_whose_webhooks(
    namespaces: Sequence[str], configured: Sequence[str], told: Sequence[str]
) -> None:
    assert webhooks_of(namespaces, configured) == told


def test_what_a_webhook_says() -> None:
    assert json.loads(webhook_body(EVENT, LINK)) == {
        "type": "portal.link.file_uploaded",
        "timestamp": "2026-05-28T20:26:40.500Z",
        "data": {
            "link_id": LINK.id,
            "workorder": "WO-7",
            "link_type": "private",
            "company_namespace": ["acme", "globex"],
            "visitor": {"ip_address": "203.0.113.0", "email": "anna@visitor.example"},
            "request_id": "r-1",
        },
    }


def test_who_has_verified_no_address_has_none() -> None:
    event = Event(LINK.id, NOW, EventKind.ACCESS, "203.0.113.0", None, "r-1")
    document = json.loads(webhook_body(event, LINK))
    assert document["type"] == "portal.link.accessed"
    assert document["data"]["visitor"] == {"ip_address": "203.0.113.0"}


def test_who_wants_no_trace_to_be_kept_has_no_address() -> None:
    event = Event(LINK.id, NOW, EventKind.COMMENT, "", None, "r-1")
    assert json.loads(webhook_body(event, LINK))["data"]["visitor"] == {}


def test_every_kind_has_a_type_of_its_own() -> None:
    assert TYPES.keys() == set(EventKind)
    assert len(set(TYPES.values())) == len(TYPES)


def test_the_specifications_own_example() -> None:
    """The vector that the published libraries are tested with."""
    headers = webhook_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        '{"test": 2432232314}',
        [b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        1614265330.9,
    )
    assert headers == {
        "Content-Type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(
    st.text(st.characters(codec="utf-8")), st.lists(st.binary(min_size=24, max_size=64), min_size=1)
)
def test_the_published_library_verifies_with_each_key(body: str, keys: list[bytes]) -> None:
    headers = webhook_headers("0" * 24, body, keys, time.time())
    for key in keys:
        Webhook(key).verify(body, headers, json_parse=False)
