"""Bodies that are judged: one verdict for each, in whatever pieces they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bodies.judges import BodyJudge, judge_for
from gateway.errors import Refusal
from gateway.links.body_rules import BodyRules, parse_body_rules

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=B"
JSON = "application/json"


def rules(
    form: Mapping[str, Any] | None = None,
    json: Mapping[str, Any] | None = None,
    absent: tuple[str, ...] = (),
) -> BodyRules:
    found = parse_body_rules(form or {}, json or {}, absent, "row")
    assert found is not None
    return found


COMMENT = rules({"id": "{workorder}", "action": ("leave", "none")}, absent=("_method", "status"))
GRAPH = rules(
    json={
        "/operationName": "addComment",
        "/variables/id": "{workorder}",
        "/variables/done": "true",
    },
    absent=("_method", "/variables/status"),
)


def verdict(
    wanted: BodyRules, content_type: str, body: bytes, *, piece: int = 1 << 20
) -> tuple[str, bool]:
    """The reason, `ok` if it may pass, and whether it was decided before its end."""
    judge: BodyJudge | None = None
    try:
        judge = judge_for(wanted, "42", [content_type])
        for start in range(0, len(body), piece):
            judge.feed(body[start : start + piece])
        judge.finish()
    except Refusal as refusal:
        return refusal.reason.value, judge is not None and judge.is_decided
    return "ok", judge.is_decided


# ---- urlencoded


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"id=42&action=leave", "ok", id="as the row wants it"),
        pytest.param(b"action=none&text=a+b%26&id=42", "ok", id="in any order, with others"),
        pytest.param(b"id=%34%32&action=leave", "ok", id="escaped"),
        pytest.param(b"id=42&action=leave&text=two words", "ok", id="a space as scripts leave it"),
        pytest.param(b"&&id=42&action=leave&", "ok", id="nothing between two &"),
        pytest.param(b"id=43&action=leave", "not_permitted", id="another record"),
        pytest.param(b"id=42+&action=leave", "not_permitted", id="a space after it"),
        pytest.param(b"id=042&action=leave", "not_permitted", id="the same number"),
        pytest.param(b"id=43&action=close", "no_route", id="rule 6 before rule 7"),
        pytest.param(b"action=leave", "no_route", id="no record"),
        pytest.param(b"id=&action=leave", "no_route", id="an empty record"),
        pytest.param(b"id=42", "no_route", id="a field is missing"),
        pytest.param(b"id=42&action=close", "no_route", id="another literal"),
        pytest.param(b"id=42&action=Leave", "no_route", id="a literal in another case"),
        pytest.param(b"id=42&action=leave&_method=delete", "no_route", id="what may not be there"),
        pytest.param(b"id=42&action=leave&_METHOD[]=x", "no_route", id="nor in another spelling"),
        pytest.param(b"id=42&action=leave&.method=x", "no_route", id="nor as PHP writes it"),
        pytest.param(b"id=42&action=leave&status[0]=x", "no_route", id="nor as an array"),
        pytest.param(b"id=42&id=42&action=leave", "bad_request", id="twice, the same"),
        pytest.param(b"id=42&action=leave&id=43", "bad_request", id="twice, another"),
        pytest.param(b"id=42&action=leave&ID=43", "bad_request", id="in another case"),
        pytest.param(b"ID=42&action=leave", "bad_request", id="in another case alone"),
        pytest.param(b"id=42&action=leave&id[]=43", "bad_request", id="as an array"),
        pytest.param(b"id=42&action=leave&id%5B0%5D=43", "bad_request", id="as an element"),
        pytest.param(b"id=42&action=leave&id.0=43", "bad_request", id="with a dot"),
        pytest.param(b"id=42&action=leave&+id=43", "bad_request", id="after a space"),
        pytest.param(b"id=42&action=leave&i%2564=43", "bad_request", id="escaped twice"),
        pytest.param(b"id=42&action=leave&id%00=43", "bad_request", id="NUL"),
        pytest.param(b"id=42;id=43&action=leave", "bad_request", id="a semicolon"),
        pytest.param(b"id=42&action=leave&x=%", "bad_request", id="a bad escape"),
        pytest.param(b"id=42&action=leave&x=%4", "bad_request", id="half an escape"),
        pytest.param(b"id=42&action=leave&x=%u0034", "bad_request", id="an escape of old"),
        pytest.param(b"id=42&action=leave&x=%ff", "bad_request", id="not UTF-8"),
        pytest.param(b"id=42&action=leave&x=\xc3\xa4", "bad_request", id="bytes as they are"),
        pytest.param(b"id=42&action=leave\r\n", "bad_request", id="a line's end"),
        pytest.param(b"id=42\x00&action=leave", "bad_request", id="a control"),
        pytest.param(b"id=42&action=leave&_charset_=utf-16", "bad_request", id="another charset"),
        pytest.param(b"id=42&action=leave&_charset_=UTF-8", "ok", id="the one charset"),
        pytest.param(b"id=42&action=leave" + b"&a" * 1000, "bad_request", id="too many"),
        pytest.param(b'{"id": "42", "action": "leave"}', "no_route", id="JSON under this type"),
    ],
)
def test_urlencoded(body: bytes, reason: str) -> None:
    assert verdict(COMMENT, FORM, body) == (reason, False)


# ---- JSON


def graph(variables: str = '"id": "42", "done": true', before: str = "", after: str = "") -> bytes:
    text = f'{{{before}"operationName": "addComment", "variables": {{{variables}}}{after}}}'
    return text.encode("utf-8", "surrogatepass")


DEEP = '"id": "42", "done": true, "x": ' + "[" * 62 + "]" * 62
TOO_DEEP = '"id": "42", "done": true, "x": ' + "[" * 63 + "]" * 63


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(graph(), "ok", id="as the row wants it"),
        pytest.param(graph('"done":true,"id":42'), "ok", id="the record as a number"),
        pytest.param(graph('"id": "\\u0034\\u0032", "done": true'), "ok", id="escaped"),
        pytest.param(graph('"id": "42", "done": "true"'), "ok", id="a truth value as a text"),
        pytest.param(graph('"id": "42", "done": true, "t": "}]{["'), "ok", id="brackets in a text"),
        pytest.param(graph(DEEP), "ok", id="deep"),
        pytest.param(graph('"id": 43, "done": true'), "not_permitted", id="another record"),
        pytest.param(graph('"id": 42.0, "done": true'), "not_permitted", id="another text of it"),
        pytest.param(graph('"id": 4.2e1, "done": true'), "not_permitted", id="an exponent"),
        pytest.param(graph('"id": ' + "9" * 5000 + ', "done": true'), "not_permitted", id="big"),
        pytest.param(graph('"id": "42 ", "done": true'), "not_permitted", id="a space after it"),
        pytest.param(graph('"id": ["42"], "done": true'), "no_route", id="an array"),
        pytest.param(graph('"id": {"x": 42}, "done": true'), "no_route", id="an object"),
        pytest.param(graph('"id": null, "done": true'), "no_route", id="null"),
        pytest.param(graph('"id": true, "done": true'), "no_route", id="true is no record"),
        pytest.param(graph('"done": true'), "no_route", id="no record"),
        pytest.param(graph('"id": "42", "done": false'), "no_route", id="another literal"),
        pytest.param(graph('"id": "42", "done": 1'), "no_route", id="what some take for true"),
        pytest.param(b"[" + graph() + b"]", "no_route", id="a batch of requests"),
        pytest.param(b'"text"', "no_route", id="no object"),
        pytest.param(
            graph('"id": "42", "done": true, "status": 1'), "no_route", id="absent pointer"
        ),
        pytest.param(graph(after=', "_method": "x"'), "no_route", id="absent name"),
        pytest.param(graph(after=', "a": [{"_METHOD": "x"}]'), "no_route", id="at any depth"),
        pytest.param(graph(after=', "status": "x"'), "ok", id="a pointer is for one place"),
        pytest.param(graph('"id": 43, "id": "42", "done": true'), "bad_request", id="twice"),
        pytest.param(
            graph('"i\\u0064": 43, "id": "42", "done": true'), "bad_request", id="escaped name"
        ),
        pytest.param(graph(before='"variables": {}, '), "bad_request", id="twice on the way"),
        pytest.param(graph(after=', "x": {"a": 1, "a": 1}'), "bad_request", id="twice elsewhere"),
        pytest.param(graph('"ID": 43, "id": "42", "done": true'), "bad_request", id="another case"),
        pytest.param(
            graph(after=', "Variables": {"id": 43}'), "bad_request", id="a case on the way"
        ),
        pytest.param(
            graph('"id": "42", "done": true, "STATUS": 1'), "bad_request", id="absent, another case"
        ),
        pytest.param(b"\xef\xbb\xbf" + graph(), "bad_request", id="a byte order mark"),
        pytest.param(graph().decode().encode("utf-16"), "bad_request", id="UTF-16"),
        pytest.param(
            graph('"id": "42", "done": true, "x": "\udcff"'), "bad_request", id="not UTF-8"
        ),
        pytest.param(
            graph('"id": "42", "done": true, "\\ud800": 1'), "bad_request", id="half a pair"
        ),
        pytest.param(graph('"id": "42", "done": true, "x": NaN'), "bad_request", id="NaN"),
        pytest.param(
            graph('"id": "42", "done": true, "x": -Infinity'), "bad_request", id="infinity"
        ),
        pytest.param(graph("'id': '42'"), "bad_request", id="single quotes"),
        pytest.param(graph('"id": "42", "done": true,'), "bad_request", id="a comma at the end"),
        pytest.param(graph('"id": "42", /* */ "done": true'), "bad_request", id="a comment"),
        pytest.param(
            graph('"id": "42", "done": true, "x": "\n"'), "bad_request", id="a raw control"
        ),
        pytest.param(graph() + graph(), "bad_request", id="two documents"),
        pytest.param(graph()[:-1], "bad_request", id="half a document"),
        pytest.param(b"", "bad_request", id="nothing"),
        pytest.param(graph(TOO_DEEP), "bad_request", id="too deep"),
        pytest.param(b"[" * 100_000, "bad_request", id="far too deep"),
        pytest.param(b"[" + b"{}," * 10_001 + b"{}]", "bad_request", id="too many members"),
        pytest.param(b"id=42", "bad_request", id="a form under this type"),
    ],
)
def test_json(body: bytes, reason: str) -> None:
    assert verdict(GRAPH, JSON, body) == (reason, False)


def test_a_pointer_leads_into_arrays_and_escaped_names() -> None:
    wanted = rules(json={"/items/0/a~1b": "{workorder}"})
    assert verdict(wanted, JSON, b'{"items": [{"a/b": 42}]}')[0] == "ok"
    assert verdict(wanted, JSON, b'{"items": [{"a/b": 43}]}')[0] == "not_permitted"
    assert verdict(wanted, JSON, b'{"items": []}')[0] == "no_route"
    assert verdict(wanted, JSON, b'{"items": {"0": {"a/b": 42}}}')[0] == "ok"
    assert verdict(wanted, JSON, b'{"items": "0"}')[0] == "no_route"


# ---- multipart


def part(head: str | bytes, value: bytes) -> bytes:
    raw = head.encode() if isinstance(head, str) else head
    return b"--B\r\n" + raw + b"\r\n\r\n" + value + b"\r\n"


def field(name: str, value: bytes) -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"', value)


def file(name: str, value: bytes, filename: str = "a.bin") -> bytes:
    return part(f'Content-Disposition: form-data; name="{name}"; filename="{filename}"', value)


END = b"--B--\r\n"
GOOD = field("id", b"42") + field("action", b"leave")
FILE = file("upload", b"\r\n--A\r\n\x00\xff-- B\r\n\r")


def disposition(value: str, more: str = "") -> bytes:
    """A whole body whose third part is not a file, and is headed by `value`."""
    return GOOD + part(f"Content-Disposition: {value}{more}", b"43") + END


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(GOOD + END, "ok", id="as the row wants it"),
        pytest.param(GOOD + END[:-2], "ok", id="without a line's end after it"),
        pytest.param(GOOD + field("text", b"a\r\n--A\r\nb") + END, "ok", id="with others"),
        pytest.param(
            part("content-disposition: form-data; name=id", b"42") + field("action", b"none") + END,
            "ok",
            id="a name without quotes",
        ),
        pytest.param(
            part(
                'Content-Type: text/plain; charset=UTF-8\r\nContent-Disposition: form-data; name="id"'
                "\r\nContent-Transfer-Encoding: 8bit",
                b"42",
            )
            + field("action", b"leave")
            + END,
            "ok",
            id="with what changes nothing",
        ),
        pytest.param(field("id", b"43") + field("action", b"none") + END, "not_permitted", id="other"),
        pytest.param(field("id", b"42\r\n") + field("action", b"none") + END, "not_permitted", id="CRLF"),
        pytest.param(field("id", b"42") + END, "no_route", id="a field is missing"),
        pytest.param(field("id", b"42") + field("action", b"close") + END, "no_route", id="literal"),
        pytest.param(GOOD + field("_method", b"x") + END, "no_route", id="what may not be there"),
        pytest.param(GOOD + file("_method", b"x") + END, "no_route", id="nor as a file"),
        pytest.param(GOOD + field("id", b"43") + END, "bad_request", id="twice"),
        pytest.param(GOOD + field("id[]", b"43") + END, "bad_request", id="as an array"),
        pytest.param(GOOD + field("i%64", b"43") + END, "bad_request", id="escaped as browsers do"),
        pytest.param(GOOD + field("_charset_", b"utf-7") + END, "bad_request", id="another charset"),
        pytest.param(field("id", b"\xff") + field("action", b"x") + END, "bad_request", id="not UTF-8"),
        pytest.param(b"x" + GOOD + END, "bad_request", id="a preamble"),
        pytest.param(b"\r\n" + GOOD + END, "bad_request", id="an empty line before it"),
        pytest.param(field("id", b"43") + GOOD[:0] + b"--B--\r\n" + GOOD + END, "bad_request", id="epilogue"),
        pytest.param(GOOD + END + b"\r\n", "bad_request", id="more lines after it"),
        pytest.param(GOOD, "bad_request", id="no end"),
        pytest.param(GOOD + END[:-3], "bad_request", id="half an end"),
        pytest.param(GOOD + b"--B--\r", "bad_request", id="half a line's end"),
        pytest.param(END, "no_route", id="no part"),
        pytest.param(b"", "bad_request", id="nothing"),
        pytest.param(GOOD.replace(b"\r\n", b"\n") + END, "bad_request", id="bare line feeds"),
        pytest.param(
            GOOD + field("t", b'x\n--B\nContent-Disposition: form-data; name="id"\n\n43') + END,
            "bad_request",
            id="a boundary after a bare line feed",
        ),
        pytest.param(GOOD + field("t", b"x\r--B\r") + END, "bad_request", id="after a bare CR"),
        pytest.param(GOOD + field("t", b"x--B") + END, "bad_request", id="a boundary in a line"),
        pytest.param(GOOD + field("t", b"x\r\n--BB") + END, "bad_request", id="a longer boundary"),
        pytest.param(GOOD + field("t", b"x\r\n--B \r\n") + END, "bad_request", id="padding after it"),
        pytest.param(GOOD + field("t", b"x\r\n--B\n") + END, "bad_request", id="a bare LF after it"),
        pytest.param(GOOD + field("t", b"x\r\n--B-\r\n") + END, "bad_request", id="half an end inside"),
        pytest.param(
            b'--B\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + GOOD + END,
            "bad_request",
            id="no line between head and boundary",
        ),
        pytest.param(part("", b"43") + GOOD + END, "bad_request", id="no head"),
        pytest.param(part("X: y", b"43") + GOOD + END, "bad_request", id="no disposition"),
        pytest.param(part('X-A: b\r\nContent-Disposition: form-data; name="a"', b"") + GOOD + END, "bad_request", id="an unknown header"),
        pytest.param(part('Content-Disposition: form-data; name="a--B"', b"") + GOOD + END, "bad_request", id="a boundary in a head"),
        pytest.param(part("Content-Disposition: form-data; name=" + "a" * 5000, b"") + GOOD + END, "bad_request", id="a long head"),
        pytest.param(part(b'Content-Disposition: form-data; name="\xe9"', b"") + GOOD + END, "bad_request", id="a name that is not UTF-8"),
        pytest.param(b"".join(field(f"f{n}", b"") for n in range(1000)) + GOOD + END, "bad_request", id="too many parts"),
        pytest.param(disposition("form-data"), "bad_request", id="no name"),
        pytest.param(disposition('attachment; name="a"'), "bad_request", id="an attachment"),
        pytest.param(disposition('form-data; name="a"; name="id"'), "bad_request", id="two names"),
        pytest.param(disposition('form-data; Name="id"; name="a"'), "bad_request", id="a name in capitals"),
        pytest.param(disposition('form-data; name="a"; Filename="b"'), "bad_request", id="a file name in capitals"),
        pytest.param(disposition("form-data; name*=utf-8''id; name=\"a\""), "bad_request", id="name*"),
        pytest.param(disposition('form-data; name*0="i"; name*1="d"'), "bad_request", id="in pieces"),
        pytest.param(disposition("form-data; name=\"a\"; filename*=utf-8''b"), "bad_request", id="filename*"),
        pytest.param(disposition('form-data; name="a\\"; name=\\"id"'), "bad_request", id="escaped quotes"),
        pytest.param(disposition('form-data; name="a\\\\"'), "bad_request", id="a backslash"),
        pytest.param(disposition('form-data; name="a"; x="b"'), "bad_request", id="another parameter"),
        pytest.param(disposition('form-data; name="a";'), "bad_request", id="a semicolon at the end"),
        pytest.param(disposition('form-data; name = "id"'), "bad_request", id="spaces"),
        pytest.param(disposition("form-data; name='id'"), "bad_request", id="single quotes"),
        pytest.param(disposition('form-data; name="=?utf-8?q?id?="'), "bad_request", id="encoded word"),
        pytest.param(disposition('form-data;\r\n name="id"'), "bad_request", id="folded"),
        pytest.param(disposition('form-data; name="a"', "\r\nContent-Disposition: form-data; name=id"), "bad_request", id="two dispositions"),
        pytest.param(disposition('form-data; name="a"', "\r\nContent-Type: text/plain\r\nContent-Type: a/b"), "bad_request", id="two types"),
        pytest.param(disposition('form-data; name="a"', "\r\nContent-Type: multipart/mixed; boundary=C"), "bad_request", id="nested"),
        pytest.param(disposition('form-data; name="a"', "\r\nContent-Transfer-Encoding: base64"), "bad_request", id="base64"),
        pytest.param(disposition('form-data; name="a"', "\r\nContent-Length: 1"), "bad_request", id="a length"),
        pytest.param(disposition('form-data; name="a"', "\r\nContent-Type: application/json"), "ok", id="another type, not judged"),
        pytest.param(
            part('Content-Disposition: form-data; name="id"\r\nContent-Type: application/json', b"42")
            + field("action", b"leave") + END,
            "bad_request",
            id="a judged field of another type",
        ),
        pytest.param(
            part('Content-Disposition: form-data; name="id"\r\nContent-Type: text/plain; charset=utf-16', b"42")
            + field("action", b"leave") + END,
            "bad_request",
            id="a judged field in another charset",
        ),
        pytest.param(file("id", b"42") + field("action", b"leave") + END, "bad_request", id="as a file"),
        pytest.param(file("id", b"42", "") + field("action", b"leave") + END, "bad_request", id="as an empty file"),
    ],
)  # fmt: skip
def test_multipart_without_a_file(body: bytes, reason: str) -> None:
    for piece in (1 << 20, 1, 7):
        assert verdict(COMMENT, MULTIPART, body, piece=piece) == (reason, False)


@pytest.mark.parametrize(
    ("body", "reason", "decided"),
    [
        pytest.param(GOOD + FILE + END, "ok", True, id="after the fields"),
        pytest.param(
            GOOD + FILE + field("text", b"x") + FILE + END, "ok", True, id="with more after"
        ),
        pytest.param(GOOD + file("upload", b"", "") + END, "ok", True, id="no file was chosen"),
        pytest.param(field("id", b"42") + FILE + END, "no_route", False, id="a field is missing"),
        pytest.param(
            field("id", b"42") + FILE + field("action", b"leave") + END,
            "no_route",
            False,
            id="a field comes too late",
        ),
        pytest.param(
            field("id", b"43") + field("action", b"none") + FILE + END,
            "not_permitted",
            False,
            id="another record",
        ),
        pytest.param(
            GOOD + FILE + field("id", b"43") + END, "bad_request", True, id="again after it"
        ),
        pytest.param(GOOD + FILE + file("ID[]", b"43") + END, "bad_request", True, id="as a file"),
        pytest.param(GOOD + FILE + field("_method", b"x") + END, "no_route", True, id="absent"),
        pytest.param(
            GOOD + FILE + field("_charset_", b"utf-8") + END, "bad_request", True, id="a charset"
        ),
        pytest.param(
            GOOD + file("upload", b'\n--B\nContent-Disposition: form-data; name="id"\n\n43') + END,
            "bad_request",
            True,
            id="a boundary in the file",
        ),
        pytest.param(GOOD + FILE, "bad_request", True, id="no end"),
        pytest.param(GOOD + FILE + END + b"x", "bad_request", True, id="more after the end"),
    ],
)
def test_multipart_with_a_file(body: bytes, reason: str, decided: bool) -> None:
    for piece in (1 << 20, 1, 5):
        assert verdict(COMMENT, MULTIPART, body, piece=piece) == (reason, decided)


NAMES = st.sampled_from(["id", "action", "text", "id[]", "_method", "a b", "\xe4"])
VALUES = st.sampled_from([b"42", b"43", b"leave", b"", b"\r\n", b"--B", b"\r\n--", b"-\r\n--C\r\n"])
PARTS = st.one_of(st.builds(field, NAMES, VALUES), st.builds(file, NAMES, VALUES | st.binary()))
BODIES = st.builds(
    lambda parts, good, end: (GOOD if good else b"") + b"".join(parts) + end,
    st.lists(PARTS, max_size=4),
    st.booleans(),
    st.sampled_from([END, b"--B--", b"", b"\r\n--B--\r\n", b"--B--\r\nx"]),
)


@given(body=BODIES, data=st.data())
def test_pieces_make_no_difference(body: bytes, data: st.DataObject) -> None:
    whole = verdict(COMMENT, MULTIPART, body)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    reason = "ok"
    judge = judge_for(COMMENT, "42", [MULTIPART])
    try:
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            judge.feed(body[start:end])
        judge.finish()
    except Refusal as refusal:
        reason = refusal.reason.value
    assert (reason, judge.is_decided) == whole


@given(body=st.binary(max_size=200) | BODIES, damage=st.binary(max_size=6), at=st.integers(0, 400))
def test_whatever_is_sent_is_judged_or_refused(body: bytes, damage: bytes, at: int) -> None:
    spoiled = body[:at] + damage + body[at:]
    for wanted, content_type in ((COMMENT, MULTIPART), (COMMENT, FORM), (GRAPH, JSON)):
        reason, _ = verdict(wanted, content_type, spoiled)
        assert reason in {"ok", "bad_request", "no_route", "not_permitted"}


def test_a_large_file_is_not_kept() -> None:
    judge = judge_for(COMMENT, "42", [MULTIPART])
    judge.feed(GOOD + b'--B\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n')
    assert judge.is_decided
    for _ in range(128):
        judge.feed(b"\r\n--A" * 13107)
    scanner = judge._scanner  # type: ignore[attr-defined]  # what it keeps is the point
    assert len(scanner._rest) < 16


# ---- the body's type


BOTH = rules({"id": "{workorder}"}, {"/id": "{workorder}"})
ABSENT = rules(absent=("_method",))


@pytest.mark.parametrize(
    ("wanted", "content_types", "reason"),
    [
        pytest.param(BOTH, [FORM], "ok", id="form"),
        pytest.param(BOTH, ["Application/X-WWW-Form-URLEncoded ; Charset=UTF-8"], "ok", id="spelling"),
        pytest.param(BOTH, ['multipart/form-data; boundary="a=b"'], "ok", id="a quoted boundary"),
        pytest.param(BOTH, [JSON], "ok", id="JSON"),
        pytest.param(BOTH, ["application/vnd.api+json"], "ok", id="written in JSON"),
        pytest.param(ABSENT, [FORM], "ok", id="absent: form"),
        pytest.param(ABSENT, [JSON], "ok", id="absent: JSON"),
        pytest.param(COMMENT, [JSON], "no_route", id="JSON where a form is wanted"),
        pytest.param(GRAPH, [FORM], "no_route", id="a form where JSON is wanted"),
        pytest.param(GRAPH, [MULTIPART], "no_route", id="multipart where JSON is wanted"),
        pytest.param(BOTH, [], "no_route", id="none"),
        pytest.param(BOTH, ["text/plain"], "no_route", id="text"),
        pytest.param(BOTH, ["text/json"], "no_route", id="JSON of old"),
        pytest.param(BOTH, ["multipart/mixed; boundary=B"], "no_route", id="another multipart"),
        pytest.param(ABSENT, ["application/xml"], "no_route", id="absent: what nobody looks into"),
        pytest.param(BOTH, [FORM, FORM], "bad_request", id="twice"),
        pytest.param(BOTH, [f"{FORM}, {JSON}"], "bad_request", id="a list"),
        pytest.param(BOTH, [""], "bad_request", id="an empty one"),
        pytest.param(BOTH, ["form"], "bad_request", id="no type"),
        pytest.param(BOTH, [f"{FORM};"], "bad_request", id="a semicolon at the end"),
        pytest.param(BOTH, [f"{FORM}; charset=utf-16"], "bad_request", id="form: charset"),
        pytest.param(BOTH, [f"{JSON}; charset=utf-7"], "bad_request", id="JSON: charset"),
        pytest.param(BOTH, [f"{JSON}; charset=utf-8; charset=utf-8"], "bad_request", id="charset twice"),
        pytest.param(BOTH, [f"{JSON}; x=y"], "bad_request", id="another parameter"),
        pytest.param(BOTH, ["multipart/form-data"], "bad_request", id="no boundary"),
        pytest.param(BOTH, ["multipart/form-data; boundary="], "bad_request", id="empty boundary"),
        pytest.param(BOTH, [f"{MULTIPART}; boundary=C"], "bad_request", id="two boundaries"),
        pytest.param(BOTH, [f"{MULTIPART}; Boundary=C"], "bad_request", id="in two spellings"),
        pytest.param(BOTH, [f"{MULTIPART}; boundary*=utf-8''C"], "bad_request", id="boundary*"),
        pytest.param(BOTH, ['multipart/form-data; boundary="B\\C"'], "bad_request", id="escaped"),
        pytest.param(BOTH, ['multipart/form-data; boundary="B "'], "bad_request", id="a space in it"),
        pytest.param(BOTH, ["multipart/form-data; boundary=B C"], "bad_request", id="text after it"),
        pytest.param(BOTH, ['multipart/form-data; boundary="B"C'], "bad_request", id="after quotes"),
        pytest.param(BOTH, ["multipart/form-data; boundary=" + "b" * 71], "bad_request", id="too long"),
        pytest.param(BOTH, ["multipart/form-data; boundary=\xe4"], "bad_request", id="not ASCII"),
    ],
)  # fmt: skip
def test_types(wanted: BodyRules, content_types: list[str], reason: str) -> None:
    with nullcontext() if reason == "ok" else pytest.raises(Refusal, match=rf"\A{reason}\b"):
        judge_for(wanted, "42", content_types)


@pytest.mark.parametrize("encoding", ["gzip", "identity", ""])
def test_a_compressed_body_is_not_judged(encoding: str) -> None:
    with pytest.raises(Refusal, match="bad_request"):
        judge_for(COMMENT, "42", [FORM], [encoding])


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        pytest.param(FORM, b"a=1", "ok", id="form"),
        pytest.param(FORM, b"_method=x", "no_route", id="form with it"),
        pytest.param(JSON, b'{"a": [1]}', "ok", id="JSON"),
        pytest.param(JSON, b'[{"_method": 1}]', "no_route", id="JSON with it"),
        pytest.param(MULTIPART, field("a", b"") + END, "ok", id="multipart"),
        pytest.param(MULTIPART, field("_method", b"") + END, "no_route", id="multipart with it"),
    ],
)
def test_a_row_that_wants_nothing_but_absence(content_type: str, body: bytes, reason: str) -> None:
    assert verdict(ABSENT, content_type, body)[0] == reason


@pytest.mark.parametrize(
    ("value", "sent", "reason"),
    [
        pytest.param("{any}", b"", "ok", id="any one value may be empty"),
        pytest.param("{any}", b"x", "ok", id="any one value"),
        pytest.param("t{any}", b"t", "no_route", id="but not beside a text"),
        pytest.param("t-{workorder}", b"t-42", "ok", id="text around the record"),
        pytest.param("t-{workorder}", b"t-43", "not_permitted", id="another, with text around it"),
        pytest.param("t-{workorder}", b"42", "no_route", id="no text around it"),
        pytest.param(("{workorder}", "*"), b"{workorder}", "ok", id="a list is of literals"),
        pytest.param(("{workorder}", "*"), b"42", "no_route", id="and of nothing else"),
    ],
)
def test_values(value: Any, sent: bytes, reason: str) -> None:
    assert verdict(rules({"f": value}), MULTIPART, field("f", sent) + END)[0] == reason
