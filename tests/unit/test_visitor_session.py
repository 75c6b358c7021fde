"""The session's cookie: what is read back of it, and what is no session."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.crypto.signing import Keyring
from gateway.links.model import LinkType
from gateway.links.session import Lifetime, Proven, Session
from gateway.visitor.session import VisitorCookies
from tests.records import NOW, new_record

LINK = new_record().link
KEYS = Keyring(["k" * 32])
COOKIES = VisitorCookies(KEYS, {kind: Lifetime(60.0, 60.0) for kind in LinkType}, "http")
SESSION = Session("s", LINK.id, 1, "v", Proven(True, "ann@example.com"), NOW, NOW)
FIELDS = ["s", LINK.id, 1, "v", True, "ann@example.com", NOW, NOW]


def read(value: str) -> Session | None:
    return COOKIES.session_of([(f"portal_{LINK.id}", value)], LINK.id)


def signed(fields: Any) -> str:
    return KEYS.signer("session").dumps(fields)


@pytest.mark.parametrize("is_unseen", [False, True])
def test_a_session_is_read_as_it_was_kept(is_unseen: bool) -> None:
    session = Session("s", LINK.id, 1, "v", Proven(), NOW, NOW + 0.5, is_unseen)
    value = COOKIES.keep_session(session, LINK).partition("=")[2].partition(";")[0]
    assert read(value) == session


def test_the_cookie_of_a_version_that_knew_nothing_of_being_unseen() -> None:
    assert read(signed(FIELDS)) == SESSION


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([*FIELDS, False], id="unseen, and not"),
        pytest.param([*FIELDS, True, True], id="more than is known"),
        pytest.param([*FIELDS, "yes"], id="another type"),
        pytest.param(FIELDS[:-1], id="too few"),
        pytest.param("s", id="no list"),
    ],
)
def test_what_is_signed_and_no_session(fields: Any) -> None:
    assert read(signed(fields)) is None
