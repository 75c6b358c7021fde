"""A mail as the mail server gets it."""

from __future__ import annotations

import re
from email import message_from_string, policy
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from gateway.notify.letter import Content, Letter, compose, new_message_id, parse_address

SENDER = parse_address("portal@facility.example")
ANNA = parse_address("anna@visitor.example")
NOW = 1_780_000_000.25
ARABIC = "رمزك لبوابة أوامر العمل في شركة طويلة الاسم جدا جدا: 048215"


def content(**fields: str) -> Content:
    values = {"subject": "Hello", "text": "Hello\n", "html": "<p>Hello</p>", "language": "en"}
    return Content(**values | fields)


def composed(what: Content | None = None, **more: Any) -> str:
    values = {"message_id": "<a@facility.example>", "now": NOW} | more
    return compose(SENDER, ANNA, what or content(), **values)


def parsed(message: str) -> EmailMessage:
    return message_from_string(message, EmailMessage, policy=policy.default)


def test_the_headers_of_a_mail() -> None:
    message = parsed(composed(content(language="ar"), headers={"List-Id": "<a.b.example>"}))
    assert {name: str(value) for name, value in message.items()} == {
        "From": "portal@facility.example",
        "To": "anna@visitor.example",
        "Subject": "Hello",
        "Date": "Thu, 28 May 2026 20:26:40 +0000",
        "Message-ID": "<a@facility.example>",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "OOF, AutoReply",
        "Content-Language": "ar",
        "List-Id": "<a.b.example>",
        "MIME-Version": "1.0",
        "Content-Type": str(message["Content-Type"]),
    }
    assert parsedate_to_datetime(message["Date"]).timestamp() == int(NOW)


def test_a_mail_is_text_and_html() -> None:
    message = parsed(composed(content(text="Grüße\n", html="<p>مرحبا</p>")))
    assert message.get_content_type() == "multipart/alternative"
    text, html = message.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert isinstance(text, EmailMessage)
    assert isinstance(html, EmailMessage)
    assert text.get_content() == "Grüße\r\n"
    assert html.get_content() == "<p>مرحبا</p>\r\n"
    assert message.defects == text.defects == html.defects == []


def test_every_line_is_short_ascii_whatever_the_language() -> None:
    """So no server has to offer 8BITMIME or SMTPUTF8 (RFC 5321 section 4.5.3.1.6: 998 octets)."""
    message = composed(content(subject=ARABIC, text=ARABIC * 50, html=ARABIC * 50))
    assert message.isascii()
    lines = message.split("\r\n")
    assert max(map(len, lines)) <= 78
    assert not any("\n" in line or "\r" in line for line in lines)
    assert parsed(message)["Subject"] == ARABIC


@pytest.mark.parametrize("subject", ["Your code: 048215", ARABIC], ids=["English", "Arabic"])
def test_the_only_six_digits_are_the_code(subject: str) -> None:
    """Also for whoever reads the mail's source: telephones do, and so do tests of others."""
    message = composed(
        content(subject=subject, text="048215\n", html="048215"), message_id=new_message_id(SENDER)
    )
    assert set(re.findall(r"\d{6}", message)) == {"048215"}
    raw_subject = re.search(r"^Subject: (.*\r\n(?: .*\r\n)*)", message, re.MULTILINE)
    assert raw_subject is not None
    assert raw_subject[1].rstrip().endswith(" 048215")


def test_a_list_id_is_never_folded_or_encoded() -> None:
    list_id = f"<{'a' * 24}.portal.{'long-domain.' * 12}example>"
    assert f"\r\nList-Id: {list_id}\r\n" in composed(headers={"List-Id": list_id})


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"], ids=["CR LF", "LF", "CR"])
@pytest.mark.parametrize("where", ["subject", "language", "header"])
def test_nothing_can_end_a_header(end: str, where: str) -> None:
    evil = f"en{end}Bcc: eve@evil.example"
    what = content() if where == "header" else content(**{where: evil})
    headers = {"List-Id": evil} if where == "header" else {}
    with pytest.raises(ValueError, match="linefeed or carriage return"):
        composed(what, headers=headers)


def test_no_two_message_ids_are_alike() -> None:
    found = {new_message_id(SENDER) for _ in range(1000)}
    assert len(found) == 1000
    assert all(re.fullmatch(r"<[a-z]{28}@facility\.example>", each) for each in found)


def test_a_letter_survives_the_outbox() -> None:
    letter = Letter("portal@facility.example", "anna@visitor.example", composed(), withheld=True)
    assert Letter.from_body(letter.to_body()) == letter
    assert "anna" not in repr(letter)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("anna@visitor.example\r\nBcc: eve@evil.example", id="a second header"),
        pytest.param("anna@visitor.example\n", id="a line feed"),
        pytest.param("anna@visitor.example\x00", id="NUL"),
        pytest.param("anna@visitor.example, eve@evil.example", id="two addresses"),
        pytest.param("anna@visitor.example;eve@evil.example", id="two, with a semicolon"),
        pytest.param("Anna <anna@visitor.example>", id="with a name"),
        pytest.param("<anna@visitor.example>", id="in brackets"),
        pytest.param("friends: anna@visitor.example;", id="a group"),
        pytest.param("anna", id="no domain"),
        pytest.param("@visitor.example", id="no user"),
        pytest.param("anna@", id="empty domain"),
        pytest.param("ännä@visitor.example", id="a user that needs SMTPUTF8"),
        pytest.param("", id="empty"),
    ],
)
def test_what_is_not_one_address(text: str) -> None:
    with pytest.raises(ValueError, match="mail address") as caught:
        parse_address(text)
    assert "anna" not in str(caught.value)


def test_a_domain_is_written_in_ascii() -> None:
    assert parse_address("info@Bücher.example").addr_spec == "info@xn--bcher-kva.example"
