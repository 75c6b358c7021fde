"""An entry or an event is one line, whatever it holds."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.entry import MAX_USER_AGENT, Entry, Event, from_line, to_line
from gateway.links.model import EventKind

ENTRY = Entry(
    link_id="0123456789abcdef01234567",
    at=1_780_000_000.123456,
    address="2001:db8::7",
    user_agent="Mozilla/5.0 (X11; Linux x86_64)",
    action="view",
    reason="ok",
    visitor="anna@visitor.example",
    email="anna@visitor.example",
    bot=False,
    request_id="r-1",
    is_view=True,
    is_access=True,
)
FIELDS = json.loads(to_line(ENTRY))
EVENT = Event(
    link_id="0123456789abcdef01234567",
    at=1_780_000_000.123456,
    kind=EventKind.FILE_UPLOAD,
    address="2001:db8::7",
    email="anna@visitor.example",
    request_id="r-1",
)
EVENT_FIELDS = json.loads(to_line(EVENT))

# Every code point that a str can have, lone surrogates too.
texts = st.text(st.characters(codec=None), max_size=40)
entries = st.builds(
    Entry,
    link_id=st.text("0123456789abcdef", min_size=24, max_size=24),
    at=st.floats(0, 253_402_300_799),
    address=texts,
    user_agent=texts,
    action=texts,
    reason=texts,
    visitor=texts,
    email=st.none() | texts,
    bot=st.booleans(),
    request_id=texts,
    is_view=st.booleans(),
    is_access=st.booleans(),
)


events = st.builds(
    Event,
    link_id=st.text("0123456789abcdef", min_size=24, max_size=24),
    at=st.floats(0, 253_402_300_799),
    kind=st.sampled_from(EventKind),
    address=texts,
    email=st.none() | texts,
    request_id=texts,
)


def with_pairs_joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


TEXTS = ("address", "user_agent", "action", "reason", "visitor", "request_id")


def as_read(line: Entry | Event) -> Entry | Event:
    """`line` as `from_line` has to give it back."""
    joined = {name: with_pairs_joined(getattr(line, name)) for name in TEXTS if hasattr(line, name)}
    email = None if line.email is None else with_pairs_joined(line.email)
    return replace(line, email=email, **joined)


@given(entries | events)
def test_every_entry_or_event_is_one_line_and_comes_back(entry: Entry | Event) -> None:
    line = to_line(entry)
    assert line.endswith(b"\n")
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert from_line(line) == as_read(entry)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\udc80\udcff", id="bytes that were not UTF-8"),
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param("a\u2028b\u2029c\x85d", id="the line ends of Unicode"),
        pytest.param("a\r\nb\x00\x0b\x0c\x1c", id="the line ends of ASCII"),
        pytest.param('"},{"\\', id="what JSON is made of"),
        pytest.param("\U0001f511", id="beyond the first plane"),
    ],
)
def test_odd_text_is_kept(text: str) -> None:
    entry = replace(ENTRY, user_agent=text, visitor=text)
    assert to_line(entry).splitlines(keepends=True) == [to_line(entry)]
    assert from_line(to_line(entry)) == entry


def test_the_line_is_plain_json_for_any_reader() -> None:
    assert FIELDS == {
        "link_id": "0123456789abcdef01234567",
        "at": 1_780_000_000.123456,
        "address": "2001:db8::7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "action": "view",
        "reason": "ok",
        "visitor": "anna@visitor.example",
        "email": "anna@visitor.example",
        "bot": False,
        "request_id": "r-1",
        "is_view": True,
        "is_access": True,
    }


def test_an_event_is_plain_json_for_any_reader() -> None:
    assert EVENT_FIELDS == {
        "event": "file_upload",
        "link_id": "0123456789abcdef01234567",
        "at": 1_780_000_000.123456,
        "address": "2001:db8::7",
        "email": "anna@visitor.example",
        "request_id": "r-1",
    }


def test_a_user_agent_is_cut() -> None:
    long = replace(ENTRY, user_agent="é" * (MAX_USER_AGENT + 1))
    read = from_line(to_line(long))
    assert isinstance(read, Entry)
    assert read.user_agent == "é" * MAX_USER_AGENT == "é" * 512


def test_a_member_of_another_version_is_skipped() -> None:
    assert from_line(json.dumps(FIELDS | {"colour": "green"}).encode()) == ENTRY
    assert from_line(json.dumps(EVENT_FIELDS | {"colour": "green"}).encode()) == EVENT


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0" * 400, id="zeros, as after a power cut"),
        pytest.param(b"\xff\xfe\xfd", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"[" * 100_000, id="nested too deeply"),
        pytest.param(to_line(ENTRY)[:-20], id="cut"),
        pytest.param(to_line(ENTRY)[5:], id="begins in the middle"),
    ]
    + [
        pytest.param(json.dumps(FIELDS | change).encode(), id=name)
        for name, change in {
            "link id too long": {"link_id": "0" * 25},
            "link id no text": {"link_id": 7},
            "time no number": {"at": "now"},
            "time a bool": {"at": True},
            "time not finite": {"at": float("nan")},
            "time before the epoch": {"at": -1},
            "time beyond every date": {"at": 10**30},
            "flag no bool": {"is_view": 1},
            "text null": {"visitor": None},
            "email a number": {"email": 1},
        }.items()
    ]
    + [
        pytest.param(
            json.dumps({name: FIELDS[name] for name in FIELDS if name != missing}).encode(),
            id=f"without {missing}",
        )
        for missing in FIELDS
    ]
    + [
        pytest.param(json.dumps(EVENT_FIELDS | change).encode(), id=f"event: {name}")
        for name, change in {
            "a kind of another version": {"event": "approval"},
            "kind no text": {"event": ["access"]},
            "kind null": {"event": None},
            "link id too long": {"link_id": "0" * 25},
            "time a bool": {"at": True},
            "text null": {"address": None},
            "email a number": {"email": 1},
        }.items()
    ]
    + [
        pytest.param(
            json.dumps({n: EVENT_FIELDS[n] for n in EVENT_FIELDS if n != missing}).encode(),
            id=f"event without {missing}",
        )
        for missing in EVENT_FIELDS
    ],
)
def test_what_is_no_entry_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        from_line(line)
