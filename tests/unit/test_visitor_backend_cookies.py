"""The backend's cookies as values: out sealed, back byte for byte, and nowhere else."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.crypto.binding import BoundSealer
from gateway.crypto.signing import Keyring
from gateway.links.model import Link, LinkType
from gateway.links.session import NOTHING_PROVEN, Session
from gateway.proxy.cookies import CookieRules, Returned
from gateway.visitor.backend_cookies import SEALED_AS, Asked, BackendCookies
from gateway.visitor.session import read_cookies

NOW = 1_800_000_000.0
LINK = Link(id="a" * 24, token_hash=b"h", workorder="42")
OTHER = replace(LINK, id="b" * 24)
SESSION = Session("s1", LINK.id, 1, "visitor", NOTHING_PROVEN, NOW, NOW)
RULES = CookieRules("seal", "upstream http://backend", frozenset({"csrftoken", "__Host-csrf"}))
ASKED = Asked(LINK, SESSION, "/workorders/42/comments", "/workorders/42", (), NOW, NOW + 3600)
WITHHELD = frozenset({"csrftoken", "hostcsrf"})
OURS = f"portal_u_{LINK.id}_"


def cookies(scheme: str = "http", *keys: str, max_header_size: int = 16384) -> BackendCookies:
    sealer = BoundSealer(Keyring(keys or ("k" * 32,)).macs, SEALED_AS)
    return BackendCookies(sealer, scheme, max_header_size, WITHHELD)


def pairs(lines: list[str]) -> list[str]:
    """What a browser sends back of what these lines set."""
    return [line.partition(";")[0] for line in lines]


def attributes(line: str) -> list[str]:
    return line.split("; ")[1:]


def sent_back(
    own: BackendCookies,
    held: list[str],
    *,
    session: Session | None = SESSION,
    rules: CookieRules = RULES,
    path: str = "/workorders/42",
) -> str:
    """The backend's cookies that go with a request for `path`."""
    return own.returned(read_cookies(["; ".join(held)]), session, rules, path).text


@pytest.mark.parametrize(
    ("said", "text"),
    [
        pytest.param(["sid=1; Path=/"], "sid=1", id="one"),
        pytest.param(["a=1; Path=/", "b=2; Path=/"], "a=1; b=2", id="in order"),
        pytest.param(["a=1; Path=/", "b=2; Path=/workorders", "c=3; Path=/workorders/42"],
                     "c=3; b=2; a=1", id="longer paths first"),
        pytest.param(["a=1; Path=/", "a=2; Path=/workorders"], "a=2; a=1", id="one name, two paths"),
        pytest.param(["a=1; Path=/files"], "", id="another path"),
        pytest.param(["a=1"], "a=1", id="the path of the request"),
        pytest.param(['a="x, y"; Path=/'], 'a="x, y"', id="quotes"),
        pytest.param(["a=; Path=/"], "a=", id="empty"),
        pytest.param(["a=\xe9\xff; Path=/"], "a=\xe9\xff", id="bytes"),
        pytest.param(["a b!%[\xe9]=1; Path=/"], "a b!%[\xe9]=1", id="a name that cannot stand in ours"),
        pytest.param(["a%21=1; Path=/", "a!=2; Path=/"], "a%21=1; a!=2", id="names that are near"),
        pytest.param(["a=1; Path=/; Domain=backend.internal; Secure"], "a=1", id="a domain, over http"),
        pytest.param(["__Host-a=1; Path=/; Secure", "__Secure-b=2; Path=/; Secure"],
                     "__Host-a=1; __Secure-b=2", id="prefixes"),
        pytest.param(["portal_v=1; Path=/", "__Host-portal_x=1; Path=/; Secure"], "", id="our names"),
        pytest.param(["csrftoken=1; Path=/"], "csrftoken=1", id="readable"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_comes_goes_back(scheme: str, said: list[str], text: str) -> None:
    own = cookies(scheme)
    held = pairs(own.kept(said, RULES, ASKED))
    assert sent_back(own, held) == text
    # The same again, from what is remembered.
    assert sent_back(own, held) == text


_NAMES = st.text(st.characters(codec="latin-1", exclude_characters="=;", exclude_categories=("Cc",)),
                 min_size=1, max_size=40).filter(lambda name: name.strip(" \t"))  # fmt: skip
_VALUES = st.text(st.characters(codec="latin-1", exclude_characters=";", exclude_categories=("Cc",)),
                  max_size=200)  # fmt: skip


@given(_NAMES, _VALUES, st.sampled_from(["http", "https"]))
def test_any_cookie_goes_back_byte_for_byte(name: str, value: str, scheme: str) -> None:
    own = cookies(scheme)
    lines = own.kept([f"{name}={value}; Path=/; Secure"], RULES, ASKED)
    name, value = name.strip(" \t"), value.strip(" \t")
    if lines:
        assert lines[0].isascii()
        assert sent_back(own, pairs(lines[:1])) == f"{name}={value}"
    else:
        assert "portal" in name.lower() or "%" in name or name.lower().startswith("__")


@pytest.mark.parametrize(
    ("session", "rules"),
    [
        pytest.param(None, RULES, id="no session"),
        pytest.param(replace(SESSION, id="s2"), RULES, id="a later session"),
        pytest.param(replace(SESSION, link_id=OTHER.id), RULES, id="another link's session"),
        pytest.param(SESSION, replace(RULES, backend="upstream http://other"), id="another URL"),
        pytest.param(SESSION, replace(RULES, backend="upstreams.acme http://backend"),
                     id="another tenant's table"),
        pytest.param(SESSION, replace(RULES, mode="pass"), id="the setting is pass now"),
        pytest.param(SESSION, replace(RULES, mode="drop"), id="the setting is drop now"),
    ],
)  # fmt: skip
def test_elsewhere_it_is_no_cookie(session: Session | None, rules: CookieRules) -> None:
    own = cookies()
    held = pairs(own.kept(["sid=1; Path=/"], RULES, ASKED))
    assert sent_back(own, held) == "sid=1"
    assert sent_back(own, held, session=session, rules=rules) == ""


def test_copied_to_another_links_name_it_is_no_cookie() -> None:
    own = cookies()
    (held,) = pairs(own.kept(["sid=1; Path=/"], RULES, ASKED))
    copied = held.replace(LINK.id, OTHER.id)
    assert sent_back(own, [copied], session=replace(SESSION, link_id=OTHER.id)) == ""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda pair: pair.replace("_sid=", "_admin="), id="another name"),
        pytest.param(lambda pair: pair.replace("_sid=", "_sid!%2F="), id="another path"),
        pytest.param(lambda pair: pair[:-1] + ("A" if pair[-1] != "A" else "B"), id="a letter"),
        pytest.param(lambda pair: pair[:-4], id="cut"),
        pytest.param(lambda pair: pair + "A", id="longer"),
        pytest.param(lambda pair: pair.partition("=")[0] + "=sid", id="plain"),
        pytest.param(lambda pair: pair.partition("=")[0] + "=", id="empty"),
    ],
)  # fmt: skip
def test_what_is_forged_goes_nowhere_and_harms_no_other(change: object) -> None:
    own = cookies()
    sid, other = pairs(own.kept(["sid=1; Path=/", "b=2; Path=/"], RULES, ASKED))
    forged = change(sid)  # type: ignore[operator]
    assert sent_back(own, [forged, other]) == "b=2"
    assert sent_back(own, [forged, sid, other]) == "sid=1; b=2"


def test_keys_are_rotated() -> None:
    old, new = "o" * 32, "n" * 32
    held = pairs(cookies("http", old).kept(["sid=1; Path=/"], RULES, ASKED))
    assert sent_back(cookies("http", new, old), held) == "sid=1"
    assert sent_back(cookies("http", new), held) == ""


def test_what_the_visitor_sends_in_these_names_does_not_go() -> None:
    own = cookies()
    held = pairs(own.kept(["PHP.sid=1; Path=/files"], RULES, ASKED))
    returned = own.returned(read_cookies(held), SESSION, RULES, "/workorders/42")
    assert returned == Returned("", WITHHELD | {"phpsid"})
    for mode in ("pass", "drop"):
        rules = replace(RULES, mode=mode)
        assert own.returned((), SESSION, rules, "/") == Returned("", WITHHELD)


# ---- attributes


LAX = ["Path=/", "HttpOnly", "SameSite=Lax"]
SECURE = ["Path=/", "HttpOnly", "Secure", "SameSite=Lax"]
FRAMED = ["Path=/", "HttpOnly", "Secure", "SameSite=None", "Partitioned"]


@pytest.mark.parametrize(
    ("scheme", "link_type", "name", "said"),
    [
        pytest.param("http", LinkType.PRIVATE, OURS + "sid", LAX, id="http"),
        pytest.param("http", LinkType.PUBLIC, OURS + "sid", LAX, id="http public"),
        pytest.param("https", LinkType.PRIVATE, f"__Host-{OURS}sid", SECURE, id="https"),
        pytest.param("https", LinkType.PUBLIC, f"__Host-{OURS}sid", FRAMED, id="https public"),
    ],
)
def test_how_it_is_set(scheme: str, link_type: LinkType, name: str, said: list[str]) -> None:
    asked = replace(ASKED, link=replace(LINK, link_type=link_type))
    (line,) = cookies(scheme).kept(["sid=1; Path=/a; Domain=x; SameSite=None"], RULES, asked)
    assert line.partition("=")[0] == f"{name}!%2Fa"
    assert attributes(line) == said


@pytest.mark.parametrize(
    ("said", "age"),
    [
        pytest.param("", [], id="until the browser is closed"),
        pytest.param("; Max-Age=60", ["Max-Age=60"], id="as long as the backend says"),
        pytest.param("; Max-Age=99999", ["Max-Age=3600"], id="no longer than the session"),
        pytest.param("; Expires=Fri, 15 Jan 2027 08:01:00 GMT", ["Max-Age=60"], id="a date"),
        pytest.param("; Expires=Fri, 31 Dec 9999 23:59:59 GMT", ["Max-Age=3600"], id="never"),
    ],
)
def test_how_long_it_lives(said: str, age: list[str]) -> None:
    (line,) = cookies().kept([f"sid=1; Path=/{said}"], RULES, ASKED)
    assert [each for each in attributes(line) if each.startswith("Max-Age")] == age


@pytest.mark.parametrize(
    "said", ["Max-Age=0", "Max-Age=-5", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"]
)
@pytest.mark.parametrize(("scheme", "prefix", "lines"), [("http", "", 1), ("https", "__Host-", 2)])
def test_what_the_backend_takes_back(said: str, scheme: str, prefix: str, lines: int) -> None:
    dropped = cookies(scheme).kept([f"sid=; Path=/; {said}"], RULES, ASKED)
    assert pairs(dropped) == [f"{prefix}{OURS}sid="] * lines
    assert all("Max-Age=0" in attributes(line) for line in dropped)


# ---- those that scripts read


@pytest.mark.parametrize(
    ("scheme", "said", "landing", "copies"),
    [
        pytest.param("http", "csrftoken=t; Path=/", "/workorders/42",
                     ["csrftoken=t; Path=/; SameSite=Lax",
                      "csrftoken=t; Path=/workorders/42; SameSite=Lax"], id="http"),
        pytest.param("https", "csrftoken=t; Path=/; Max-Age=60", "/workorders/42",
                     ["csrftoken=t; Path=/; Max-Age=60; Secure; SameSite=Lax",
                      "csrftoken=t; Path=/workorders/42; Max-Age=60; Secure; SameSite=Lax"],
                     id="https"),
        pytest.param("http", "csrftoken=t; Path=/", "/", ["csrftoken=t; Path=/; SameSite=Lax"],
                     id="the landing page is the root"),
        pytest.param("http", "csrftoken=t; Path=/", "/a;b", ["csrftoken=t; Path=/; SameSite=Lax"],
                     id="a landing page that no cookie can name"),
        pytest.param("https", "__Host-csrf=t; Path=/; Secure", "/workorders/42",
                     ["__Host-csrf=t; Path=/; Secure; SameSite=Lax"], id="__Host-"),
        pytest.param("http", "__Host-csrf=t; Path=/; Secure", "/workorders/42", [],
                     id="__Host- over http"),
        pytest.param("http", "CSRFToken=t; Path=/", "/workorders/42", [], id="another name"),
        pytest.param("http", "csrftoken=; Path=/; Max-Age=0", "/workorders/42",
                     ["csrftoken=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
                      "csrftoken=; Path=/workorders/42; Max-Age=0; HttpOnly; SameSite=Lax"],
                     id="taken back"),
    ],
)  # fmt: skip
def test_a_copy_for_scripts(scheme: str, said: str, landing: str, copies: list[str]) -> None:
    first, *rest = cookies(scheme).kept([said], RULES, replace(ASKED, landing=landing))
    assert "HttpOnly" in attributes(first)
    assert "portal_u_" in first
    assert rest == copies


def test_a_copy_alone_is_worth_nothing() -> None:
    own = cookies()
    _, copy, _ = pairs(own.kept(["csrftoken=t; Path=/"], RULES, ASKED))
    returned = own.returned(read_cookies([copy]), SESSION, RULES, "/")
    assert returned == Returned("", WITHHELD)


# ---- room


def test_what_is_too_large_is_dropped_and_its_name_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = cookies()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            lines = own.kept(["big=" + "x" * 3500 + "; Path=/", "b=2; Path=/"], RULES, ASKED)
            assert sent_back(own, pairs(lines)) == "b=2"
    (told,) = caplog.messages
    assert "'big'" in told
    assert "xxx" not in told


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        pytest.param((), 5, id="an empty browser"),
        pytest.param(("a=" + "x" * 11000,), 1, id="a browser that is nearly full"),
        pytest.param(("a=" + "x" * 12300,), 0, id="a full one"),
        pytest.param(("; ".join(f"c{n}=1" for n in range(148)),), 2, id="many small ones"),
        pytest.param((OURS + "a=" + "x" * 3000,), 1, id="a link that has most of its share"),
        pytest.param((f"portal_u_{OTHER.id}_a=" + "x" * 3000,), 5, id="another link's share"),
    ],
)
def test_the_room_that_is_left(headers: tuple[str, ...], kept: int) -> None:
    said = [f"c{n}n=" + "x" * 500 + "; Path=/" for n in range(20)]
    lines = cookies().kept(said, RULES, replace(ASKED, headers=headers))
    assert len(lines) == kept


def test_at_most_twenty_of_a_link() -> None:
    lines = cookies().kept([f"c{n}=1; Path=/" for n in range(30)], RULES, ASKED)
    assert len(lines) == 20
    held = (" ; ".join(pairs(lines)),)
    said = ["c0=2; Path=/", "new=1; Path=/", "c1=; Path=/; Max-Age=0", "newer=1; Path=/"]
    kept = cookies().kept(said, RULES, replace(ASKED, headers=held))
    assert [pair.partition("=")[0] for pair in pairs(kept)] == [
        f"{OURS}c0", f"{OURS}c1", f"{OURS}newer"
    ]  # fmt: skip


def test_partitioned_cookies_have_less_room() -> None:
    full = replace(ASKED, headers=("a=" + "x" * 10_000,))
    public = replace(full, link=replace(LINK, link_type=LinkType.PUBLIC))
    said = ["sid=" + "x" * 200 + "; Path=/"]
    assert len(cookies("https").kept(said, RULES, full)) == 1
    assert len(cookies("http").kept(said, RULES, public)) == 1
    assert cookies("https").kept(said, RULES, public) == []
