"""The gateway's cookies as values: what is written can be read, and nothing else can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.crypto.signing import Keyring
from gateway.links.model import Link, LinkType
from gateway.links.session import Lifetime, Proven, Session
from gateway.visitor.cookie import set_cookie
from gateway.visitor.session import (
    GateState,
    VisitorCookies,
    read_cookies,
)

NOW = 1_800_000_000.125
LINK = Link(id="a" * 24, token_hash=b"h", workorder="42")
PUBLIC = replace(LINK, link_type=LinkType.PUBLIC)
LIFETIMES = {
    LinkType.PUBLIC: Lifetime(86400, 86400),
    LinkType.PRIVATE: Lifetime(43200, 7200),
    LinkType.SECURE: Lifetime(3600, 900),
}
SESSION = Session("sid", LINK.id, 3, "visitor", Proven(True, "ann@example.org"), NOW - 60, NOW)
STATE = GateState(LINK.id, 1, "browser", NOW, Proven(True, "ann@example.org"), "bob@example.org")
KEYS = ("k" * 32,)


def cookies(scheme: str = "https", keys: tuple[str, ...] = KEYS) -> VisitorCookies:
    return VisitorCookies(Keyring(keys), LIFETIMES, scheme)


def pair(header: str) -> tuple[str, str]:
    """Name and value of a `Set-Cookie`, as the browser sends them back."""
    name, _, value = header.partition(";")[0].partition("=")
    return name, value


def attributes(header: str) -> list[str]:
    return header.split("; ")[1:]


# ---- what a browser sends


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        pytest.param(["portal_v=1"], [("portal_v", "1")], id="one"),
        pytest.param(["a=1; portal_v=2; b=3"], [("portal_v", "2")], id="among others"),
        pytest.param(["__Host-portal_v=1"], [("__Host-portal_v", "1")], id="with the prefix"),
        pytest.param(
            ["portal_v=1;portal_v=2"], [("portal_v", "1"), ("portal_v", "2")], id="twice, in order"
        ),
        pytest.param(["portal_v=1", "portal_w=2"], [("portal_v", "1"), ("portal_w", "2")], id="two headers"),
        pytest.param(["\t portal_v \t=\t 1 \t"], [("portal_v", "1")], id="blanks around"),
        pytest.param(["portal_v=a=b"], [("portal_v", "a=b")], id="an equals sign in the value"),
        pytest.param(["portal_v=X1X"], [("portal_v", "X1X")], id="a value as it is"),
        pytest.param(["portal_v=\x0b1\n"], [("portal_v", "\x0b1\n")], id="no other blanks"),
        pytest.param(["\x0bportal_v=1"], [], id="nor before a name"),
        pytest.param(["Xportal_v=1"], [], id="a letter before the name"),
        pytest.param(["portal_v="], [("portal_v", "")], id="empty"),
        pytest.param(["portal_v"], [], id="no equals sign"),
        pytest.param(["xportal_v=1; Portal_v=1; __host-portal_v=1"], [], id="other names"),
        pytest.param([], [], id="none"),
    ],
)  # fmt: skip
def test_our_cookies_are_found(headers: list[str], found: list[tuple[str, str]]) -> None:
    assert list(read_cookies(headers)) == found


# ---- what it is given


@pytest.mark.parametrize(
    ("secure", "framed", "written"),
    [
        pytest.param(False, False, "n=v; Path=/; Max-Age=9; HttpOnly; SameSite=Lax", id="http"),
        pytest.param(False, True, "n=v; Path=/; Max-Age=9; HttpOnly; SameSite=Lax", id="http, framed"),
        pytest.param(True, False, "n=v; Path=/; Max-Age=9; HttpOnly; Secure; SameSite=Lax", id="https"),
        pytest.param(
            True, True, "n=v; Path=/; Max-Age=9; HttpOnly; Secure; SameSite=None; Partitioned", id="framed"
        ),
    ],
)  # fmt: skip
def test_a_cookie_is_written(secure: bool, framed: bool, written: str) -> None:
    assert set_cookie("n", "v", max_age=9, secure=secure, framed=framed) == written


@pytest.mark.parametrize(("scheme", "prefix"), [("http", ""), ("https", "__Host-")])
def test_every_cookie_has_its_name(scheme: str, prefix: str) -> None:
    own = cookies(scheme)
    names = {
        pair(own.keep_session(SESSION, LINK))[0]: f"portal_{LINK.id}",
        pair(own.keep_gate(STATE, LINK, NOW))[0]: f"portal_g_{LINK.id}",
        pair(own.keep_visitor("v", LINK))[0]: "portal_v",
    }
    assert list(names) == [prefix + name for name in names.values()]


def test_a_cookie_of_a_public_link_may_stand_in_a_frame() -> None:
    own = cookies()
    for written in (
        own.keep_session(SESSION, PUBLIC),
        own.keep_gate(STATE, PUBLIC, NOW),
        own.keep_visitor("v", PUBLIC),
    ):
        assert "Partitioned" in attributes(written)
    for written in (own.keep_session(SESSION, LINK), own.keep_visitor("v", LINK)):
        assert "SameSite=Lax" in attributes(written)


# ---- sessions


def test_a_session_is_read_as_it_was_written() -> None:
    own = cookies()
    sent = [pair(own.keep_session(SESSION, LINK))]
    # Once by its signature, and once more because it is remembered.
    for _ in range(2):
        assert own.session_of(sent, LINK.id) == SESSION
        assert own.sessions(sent) == [SESSION]
    nothing = replace(SESSION, proven=Proven(False, None))
    assert cookies().session_of([pair(own.keep_session(nothing, LINK))], LINK.id) == nothing


def test_times_are_kept_to_the_millisecond() -> None:
    exact = replace(SESSION, opened_at=NOW + 0.0004, seen_at=NOW + 0.0006)
    read = cookies().session_of([pair(cookies().keep_session(exact, LINK))], LINK.id)
    assert read is not None
    assert (read.opened_at, read.seen_at) == (round(NOW, 3), round(NOW + 0.0006, 3))


@pytest.mark.parametrize(
    ("seen_after", "life"),
    [
        pytest.param(0, 43200, id="new: the whole life"),
        pytest.param(3200, 40000, id="later: what is left"),
        pytest.param(43199.5, 1, id="half a second: at least one"),
        pytest.param(50000, 1, id="past its life"),
    ],
)
def test_the_browser_keeps_a_session_for_what_is_left_of_its_life(
    seen_after: float, life: int
) -> None:
    session = replace(SESSION, opened_at=NOW, seen_at=NOW + seen_after)
    assert f"Max-Age={life}" in attributes(cookies().keep_session(session, LINK))


def test_the_link_type_decides_the_life() -> None:
    session = replace(SESSION, opened_at=NOW, seen_at=NOW)
    assert "Max-Age=86400" in attributes(cookies().keep_session(session, PUBLIC))


def test_what_is_no_session() -> None:
    own = cookies()
    name, value = pair(own.keep_session(SESSION, LINK))
    other = f"__Host-portal_{'b' * 24}"
    for sent in (
        [],
        [(name, "")],
        [(name, value[:-1])],
        [(name, value + "x" * 2048)],
        [(name.removeprefix("__Host-"), value)],
        [(other, value)],
        [(name, pair(own.keep_visitor("v", LINK))[1])],
        [(name, pair(own.keep_gate(STATE, LINK, NOW))[1])],
        [(name, pair(cookies(keys=("x" * 32,)).keep_session(SESSION, LINK))[1])],
        [(f"__Host-portal_{'A' * 24}", value)],
        [(f"__Host-portal_{'a' * 23}", value)],
    ):
        assert own.session_of(sent, LINK.id) is None
        assert own.session_of(sent, "b" * 24) is None
        assert own.sessions(sent) == []
    # A good one beside a bad one counts, whichever comes first.
    assert own.session_of([(name, "junk"), (name, value)], LINK.id) == SESSION


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(None, id="nothing"),
        pytest.param({}, id="an object"),
        pytest.param(["s", LINK.id, 1, "v", True, None, 1.0], id="one short"),
        pytest.param(["s", LINK.id, 1, "v", True, None, 1.0, 2.0, 3], id="another type"),
        pytest.param(["s", LINK.id, 1, "v", True, None, 1.0, 2.0, "yes"], id="a text"),
        pytest.param(["s", LINK.id, 1, "v", True, None, 1.0, 2.0, False], id="unseen, and not"),
        pytest.param(["s", LINK.id, 1, "v", True, None, 1.0, 2.0, True, True], id="one more"),
        pytest.param("s", id="no list"),
        pytest.param([1, LINK.id, 1, "v", True, None, 1.0, 2.0], id="an id"),
        pytest.param(["s", LINK.id, "1", "v", True, None, 1.0, 2.0], id="a version"),
        pytest.param(["s", LINK.id, 1, None, True, None, 1.0, 2.0], id="a visitor"),
        pytest.param(["s", LINK.id, 1, "v", 1, None, 1.0, 2.0], id="a proof"),
        pytest.param(["s", LINK.id, 1, "v", True, 7, 1.0, 2.0], id="an address"),
        pytest.param(["s", LINK.id, 1, "v", True, None, "1", 2.0], id="a time"),
        pytest.param(["s", LINK.id, 1, "v", True, None, 1.0, None], id="another time"),
    ],
)
def test_signed_fields_of_another_kind_are_no_session(fields: Any) -> None:
    """What an older or a newer version has signed."""
    value = Keyring(KEYS).signer("session").dumps(fields)
    assert cookies().session_of([(f"__Host-portal_{LINK.id}", value)], LINK.id) is None


@pytest.mark.parametrize("is_unseen", [False, True])
def test_whether_anybody_looked_is_kept(is_unseen: bool) -> None:
    session = replace(SESSION, is_unseen=is_unseen)
    sent = [pair(cookies().keep_session(session, LINK))]
    assert cookies().session_of(sent, LINK.id) == session


def test_the_cookie_of_a_version_that_knew_nothing_of_being_unseen() -> None:
    fields = ["s", LINK.id, 1, "v", True, "ann@example.org", NOW, NOW]
    value = Keyring(KEYS).signer("session").dumps(fields)
    found = cookies().session_of([(f"__Host-portal_{LINK.id}", value)], LINK.id)
    assert found == Session("s", LINK.id, 1, "v", Proven(True, "ann@example.org"), NOW, NOW)


@pytest.mark.parametrize("purpose", ["session", "gate", "visitor"])
def test_each_cookie_is_signed_for_its_own_purpose(purpose: str) -> None:
    """And under this name: another version of this program has to be able to read it."""
    own, signer = cookies(), Keyring(KEYS).signer(purpose)
    values = {
        "session": pair(own.keep_session(SESSION, LINK))[1],
        "gate": pair(own.keep_gate(STATE, LINK, NOW))[1],
        "visitor": pair(own.keep_visitor("v", LINK))[1],
    }
    assert [name for name, value in values.items() if signer.loads(value) is not None] == [purpose]


def test_a_signature_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    own = cookies()
    sent = [pair(own.keep_session(SESSION, LINK))]
    assert own.session_of(sent, LINK.id) == SESSION
    monkeypatch.setattr(own._session, "loads", lambda text: pytest.fail("checked again"))
    assert own.session_of(sent, LINK.id) == SESSION


def test_whole_seconds_are_times_too() -> None:
    value = Keyring(KEYS).signer("session").dumps(["s", LINK.id, 1, "v", True, None, 1, 2])
    found = cookies().session_of([(f"__Host-portal_{LINK.id}", value)], LINK.id)
    assert found == Session("s", LINK.id, 1, "v", Proven(True, None), 1, 2)


def test_a_browsers_sessions_come_latest_first() -> None:
    own = cookies()
    sent = [pair(own.keep_session(each, _link(each.link_id))) for each in _sessions(4)]
    sent.insert(2, ("__Host-portal_v", "x"))
    sent.insert(0, ("portal_" + "f" * 24, sent[0][1]))
    assert [session.link_id for session in own.sessions(sent)] == [
        session.link_id for session in reversed(_sessions(4))
    ]


def _sessions(count: int) -> list[Session]:
    """Sessions on links of their own, each opened later than the one before."""
    return [
        replace(SESSION, link_id=f"{number:024x}", opened_at=NOW + number)
        for number in range(count)
    ]


def _link(link_id: str) -> Link:
    return replace(LINK, id=link_id)


def test_the_later_of_two_comes_first() -> None:
    own, (older, later) = cookies(), _sessions(2)
    sent = [pair(own.keep_session(each, _link(each.link_id))) for each in (older, later)]
    assert own.sessions(sent) == own.sessions(sent[::-1]) == [later, older]


@pytest.mark.parametrize(
    ("held", "opening", "ended"),
    [
        pytest.param(19, "new", [], id="room for one more"),
        pytest.param(20, "new", [0], id="the oldest goes"),
        pytest.param(22, "new", [0, 1, 2], id="as many as it takes"),
        pytest.param(20, "held", [], id="the same link again"),
    ],
)
def test_the_oldest_sessions_make_room(held: int, opening: str, ended: list[int]) -> None:
    own, sessions = cookies(), _sessions(held)
    sent = [pair(own.keep_session(each, _link(each.link_id))) for each in sessions]
    link_id = LINK.id if opening == "new" else sessions[0].link_id
    dropped = [pair(header)[0] for header in own.end_oldest(sent, link_id)]
    # Each is dropped as a plain and as a partitioned cookie.
    assert dropped == [f"__Host-portal_{sessions[i].link_id}" for i in ended for _ in range(2)]


def test_what_is_no_session_goes_first() -> None:
    own, sessions = cookies(), _sessions(19)
    sent = [pair(own.keep_session(each, _link(each.link_id))) for each in sessions]
    sent.insert(3, (f"__Host-portal_{'e' * 24}", "junk"))
    assert {pair(header)[0] for header in own.end_oldest(sent, LINK.id)} == {
        f"__Host-portal_{'e' * 24}"
    }


def test_with_a_session_go_the_backend_s_cookies_that_were_sealed_for_it() -> None:
    own, sessions = cookies("http"), _sessions(20)
    sent = [pair(own.keep_session(each, _link(each.link_id))) for each in sessions]
    sent += [(f"portal_u_{each.link_id}_sid", "x") for each in sessions]
    orphan, earlier = f"portal_u_{'e' * 24}_sid!%2Fa", f"portal_u_{LINK.id}_sid"
    sent += [(orphan, "x"), (earlier, "x"), (f"portal_u_{'e' * 24}_\udcff", "x")]
    oldest = sessions[0].link_id
    assert [pair(header)[0] for header in own.end_oldest(sent, LINK.id)] == [
        f"portal_{oldest}", f"portal_u_{oldest}_sid", orphan, earlier
    ]  # fmt: skip
    ended = [pair(header)[0] for header in own.end_session(LINK, sent)]
    assert ended == [f"portal_{LINK.id}", f"portal_g_{LINK.id}", earlier]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_ending_drops_every_form_of_a_cookie(scheme: str) -> None:
    own, prefix = cookies(scheme), "__Host-" if scheme == "https" else ""
    gate = [f"{prefix}portal_g_{LINK.id}"]
    forms = 2 if scheme == "https" else 1
    assert [pair(h) for h in own.end_gate(LINK)] == [(name, "") for name in gate * forms]
    assert [pair(h)[0] for h in own.end_session(LINK, [])] == [
        *[f"{prefix}portal_{LINK.id}"] * forms,
        *gate * forms,
    ]
    for header in own.end_session(LINK, []):
        assert "Max-Age=0" in attributes(header)
        assert ("Secure" in attributes(header)) is (scheme == "https")
    partitioned = ["Partitioned" in attributes(header) for header in own.end_gate(LINK)]
    assert partitioned == [False, True][:forms]


# ---- the gates


def test_what_is_proven_is_read_as_it_was_written() -> None:
    own = cookies()
    state = replace(STATE, access_version=LINK.access_version)
    sent = [("other", "x"), pair(own.keep_gate(state, LINK, NOW))]
    assert own.gate_of(sent, LINK, NOW) == state
    exact = replace(state, started_at=NOW + 0.0004)
    assert own.gate_of([pair(own.keep_gate(exact, LINK, NOW))], LINK, NOW) == state
    bare = GateState(LINK.id, 1, "b", NOW)
    assert own.gate_of([pair(own.keep_gate(bare, LINK, NOW))], LINK, NOW) == bare
    assert bare.proven == Proven(False, None)


@pytest.mark.parametrize(
    ("link", "after", "holds"),
    [
        pytest.param({}, 0, True, id="at once"),
        pytest.param({}, 899.9, True, id="just in time"),
        pytest.param({}, 900, False, id="15 minutes later"),
        pytest.param({}, -899.9, True, id="another machine's clock"),
        pytest.param({}, -900, False, id="from the future"),
        pytest.param({"access_version": 2}, 0, False, id="the link has changed"),
        pytest.param({"id": "b" * 24}, 0, False, id="another link"),
    ],
)
def test_what_is_proven_holds_for_a_while(link: dict[str, Any], after: float, holds: bool) -> None:
    assert STATE.is_current(replace(LINK, **link), NOW + after) is holds
    own = cookies()
    name, value = pair(own.keep_gate(STATE, LINK, NOW))
    asked = replace(LINK, **link)
    sent = [(name.replace(LINK.id, asked.id), value)]
    assert (own.gate_of(sent, asked, NOW + after) is not None) is holds


@pytest.mark.parametrize(("after", "life"), [(0, 900), (300.5, 599), (899.5, 1), (2000, 1)])
def test_the_browser_keeps_it_from_its_start(after: float, life: int) -> None:
    assert f"Max-Age={life}" in attributes(cookies().keep_gate(STATE, LINK, NOW + after))


def test_a_bad_cookie_does_not_hide_a_good_one() -> None:
    own = cookies()
    name, value = pair(own.keep_gate(STATE, LINK, NOW))
    old = pair(own.keep_gate(replace(STATE, started_at=NOW - 5000), LINK, NOW))[1]
    assert own.gate_of([(name, "junk"), (name, old), (name, value)], LINK, NOW) == STATE
    session = pair(own.keep_session(SESSION, LINK))[1]
    assert own.gate_of([(name, session)], LINK, NOW) is None


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([], id="nothing"),
        pytest.param([LINK.id, 1, "b", NOW, True, None], id="one short"),
        pytest.param([LINK.id, 1, "b", NOW, True, None, None, 1], id="one more"),
        pytest.param([1, 1, "b", NOW, True, None, None], id="a link"),
        pytest.param([LINK.id, "1", "b", NOW, True, None, None], id="a version"),
        pytest.param([LINK.id, 1, 2, NOW, True, None, None], id="a browser"),
        pytest.param([LINK.id, 1, "b", "x", True, None, None], id="a time"),
        pytest.param([LINK.id, 1, "b", NOW, "yes", None, None], id="a proof"),
        pytest.param([LINK.id, 1, "b", NOW, True, 1, None], id="an address"),
        pytest.param([LINK.id, 1, "b", NOW, True, None, 1], id="an address that was asked"),
    ],
)
def test_signed_fields_of_another_kind_prove_nothing(fields: Any) -> None:
    value = Keyring(KEYS).signer("gate").dumps(fields)
    assert cookies().gate_of([(f"__Host-portal_g_{LINK.id}", value)], LINK, NOW) is None


# ---- the visitor


def test_the_visitor_is_read_as_it_was_written() -> None:
    own = cookies()
    name, value = pair(own.keep_visitor("someone", LINK))
    assert own.visitor_of([("other", "x"), (name, value)]) == "someone"
    assert own.visitor_of([(name, "junk"), (name, value)]) == "someone"
    assert "Max-Age=34560000" in attributes(own.keep_visitor("someone", LINK))


@pytest.mark.parametrize("value", ["", 7, None, ["someone"]])
def test_what_is_no_visitor(value: Any) -> None:
    own, signed = cookies(), Keyring(KEYS).signer("visitor").dumps(value)
    assert own.visitor_of([("__Host-portal_v", signed)]) is None
    assert own.visitor_of([]) is None
    assert own.visitor_of([("portal_v", pair(own.keep_visitor("v", LINK))[1])]) is None


# ---- bounds


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.visitor.session._REMEMBERED", 3)
    own = cookies()
    for session in _sessions(9):
        sent = [pair(own.keep_session(session, _link(session.link_id)))]
        assert own.session_of(sent, session.link_id) == session
        assert own.session_of(sent, session.link_id) == session
    assert len(own._genuine) == 3
    assert [session.link_id for session in own._genuine.values()] == [
        session.link_id for session in _sessions(9)[-3:]
    ]


def test_a_text_too_long_to_be_ours_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    own = cookies()
    asked: list[str] = []
    monkeypatch.setattr(own._visitor, "loads", asked.append)
    for length in (2048, 2049):
        own.visitor_of([("__Host-portal_v", "x" * length)])
    assert [len(text) for text in asked] == [2048]
