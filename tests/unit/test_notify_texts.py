"""What the mails say, in every language and under any branding."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email import message_from_string, policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.languages import CODES, language
from gateway.links.model import Branding, Link
from gateway.notify.letter import Content, Letter, parse_address
from gateway.notify.notifications import (
    MOST_TOLD,
    NOTIFICATION_LIFE,
    NotificationMail,
    notification_content,
)
from gateway.notify.texts import code_content, lines, one_line
from gateway.store.outbox import MailKind

CODE = "048215"
NOW = 1_780_000_000.0
ENGLISH = language("en")
SENDER = parse_address("portal@facility.example")
EVIL = "<script>alert(1)</script>\r\nBcc: eve@evil.example \u202eevil"


def link(**fields: Any) -> Link:
    branding = Branding(footer_text="Alder & Quay\nQuestions: 0800 104223", brand_color="#123456")
    values: dict[str, Any] = {"workorder": "WO-1042", "branding": branding} | fields
    return Link(id="0" * 24, token_hash=b"\1" * 32, **values)


@dataclass(frozen=True)
class Event:
    kind: str
    at: float = NOW
    email: str | None = None
    address: str = ""


EVENTS = [
    Event("access", address="203.0.113.7"),
    Event("comment", at=NOW + 4, email="anna@visitor.example", address="203.0.113.7"),
    Event("file_upload", at=NOW + 40, email="anna@visitor.example"),
    Event("file_upload", at=NOW + 50),
]


class Page(HTMLParser):
    """What an HTML mail consists of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words += data


def mails(code: str) -> list[Content]:
    spoken = language(code)
    return [
        code_content(CODE, 10, link(), spoken),
        notification_content(link(), EVENTS, spoken, "Lift repair"),
    ]


# --- every mail -------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_the_language_and_its_direction_are_told(code: str) -> None:
    for mail in mails(code):
        assert mail.language == code
        assert f'<html lang="{code}" dir="{language(code).direction}">' in mail.html


@pytest.mark.parametrize("code", CODES)
def test_nothing_is_loaded_and_nothing_can_be_followed(code: str) -> None:
    for mail in mails(code):
        page = Page(mail.html)
        allowed = {"html", "head", "meta", "title", "style", "body", "table", "tr", "td"}
        assert set(page.tags) <= allowed | {"h1", "p", "div", "br", "span", "bdi"}
        assert not {name for name, _ in page.attributes} & {"href", "src", "background", "action"}
        for part in (mail.html, mail.text, mail.subject):
            assert "://" not in part
            assert "url(" not in part


@pytest.mark.parametrize("code", CODES)
def test_the_footer_and_the_colour_are_the_links(code: str) -> None:
    for mail in mails(code):
        assert mail.text.endswith("\n\n-- \nAlder & Quay\nQuestions: 0800 104223\n")
        assert "Alder &amp; Quay<br>Questions: 0800 104223" in mail.html
        assert "rgb(18,52,86)" in mail.html


def test_without_branding_a_mail_is_whole() -> None:
    for mail in (
        code_content(CODE, 10, link(branding=Branding()), ENGLISH),
        notification_content(link(branding=Branding(footer_text=" \n ")), EVENTS, ENGLISH),
    ):
        assert "-- \n" not in mail.text
        assert mail.text.endswith(".\n")
        assert "rgb(31,95,74)" in mail.html


def test_what_others_wrote_is_text_and_one_line() -> None:
    evil = link(workorder=EVIL, branding=Branding(footer_text=f"{EVIL}\n\n{EVIL}"))
    for mail in (
        code_content(CODE, 10, evil, ENGLISH),
        notification_content(evil, [Event("access", address=EVIL)], ENGLISH, EVIL),
    ):
        assert "script" not in Page(mail.html).tags
        assert len(mail.subject.splitlines()) == 1
        assert "\u202e" not in mail.subject + mail.text + mail.html


@given(st.text())
def test_one_line_is_one_short_line_that_can_be_printed(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 200
    assert len(line.splitlines()) <= 1
    assert line == one_line(line)


@given(st.text())
def test_lines_keep_every_word(text: str) -> None:
    short = [word for word in text.split() if len(word) < 20 and word.isprintable()][:5]
    assert " ".join(lines(" ".join(short))).split() == short


# --- the code ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
def test_the_code_ends_the_subject_and_comes_first_in_the_text(code: str) -> None:
    mail = code_content(CODE, 10, link(), language(code))
    assert mail.subject.endswith(f" {CODE}")
    assert re.findall(r"\d{6}", mail.subject) == [CODE]
    for part in (mail.text, mail.html, Page(mail.html).words):
        assert re.findall(r"\d{6}", part) == [CODE, "104223"], "the footer's own number is later"
    assert CODE in mail.text.splitlines()[0]


def test_the_code_mail_does_not_name_the_work_order() -> None:
    """It may not be shown before the gates are passed."""
    mail = code_content(CODE, 10, link(), ENGLISH)
    assert "WO-1042" not in mail.subject + mail.text + mail.html
    assert mail.text.startswith(f"Your code is {CODE}\n")
    assert "It works once, for 10 minutes." in mail.text
    assert "for 1 minute." in code_content(CODE, 1, link(), ENGLISH).text


# --- notifications ----------------------------------------------------------------------------


def test_a_notification_says_which_link_who_what_and_when() -> None:
    mail = notification_content(link(), EVENTS, ENGLISH, "Lift repair")
    assert mail.subject == "Work order WO-1042: 1 visit, 1 comment, and 2 uploads"
    text = mail.text.replace("\u202f", " ")
    assert text.startswith(
        f"{mail.subject}\n"
        "\n"
        "Somebody at 203.0.113.7 opened the link.\n"
        "May 28, 2026, 8:26 PM UTC\n"
        "\n"
        "anna@visitor.example added a comment.\n"
        "May 28, 2026, 8:26 PM UTC\n"
        "\n"
        "anna@visitor.example uploaded a file.\n"
        "May 28, 2026, 8:27 PM UTC\n"
        "\n"
        "Somebody uploaded a file.\n"
        "May 28, 2026, 8:27 PM UTC\n"
        "\n"
        f"Link: Lift repair ({'0' * 24})\n"
    )
    words = Page(mail.html).words
    for line in text.split("\n-- \n")[0].splitlines():
        assert line in words.replace("\u202f", " ")


def test_a_link_without_a_purpose_is_named_by_its_id() -> None:
    assert f"Link: {'0' * 24}\n" in notification_content(link(), EVENTS, ENGLISH).text


def test_of_very_many_events_the_last_are_counted() -> None:
    events = [Event("access", address=f"203.0.113.{n}") for n in range(MOST_TOLD + 7)]
    mail = notification_content(link(), events, ENGLISH)
    assert mail.subject.endswith(": 57 visits")
    assert mail.text.count("opened the link") == MOST_TOLD
    assert "\nAnd 7 more.\n" in mail.text
    assert "And 7 more." in mail.html


def test_a_notification_for_the_outbox() -> None:
    mail = NotificationMail(SENDER, language("de")).compose(
        "owner@facility.example", link(), EVENTS, NOW
    )
    assert (mail.kind, mail.link_id, mail.topic) == (MailKind.NOTIFICATION, "0" * 24, None)
    assert (mail.created_at, mail.expires_at) == (NOW, NOW + NOTIFICATION_LIFE)
    letter = Letter.from_body(mail.body)
    assert (letter.sender, letter.recipient) == (
        "portal@facility.example",
        "owner@facility.example",
    )
    message = message_from_string(letter.message, EmailMessage, policy=policy.default)
    assert message["Message-ID"] == mail.message_id
    assert message["To"] == "owner@facility.example"
    assert message["List-Id"] == f"<{'0' * 24}.portal-links.facility.example>"
    assert message["Content-Language"] == "de"


@given(workorder=st.text(min_size=1), purpose=st.text(), footer=st.text(), who=st.text())
@example(workorder="0 0000000¡¡¡¡¡¡¡¡¡¡¡¡ ¡", purpose="", footer="", who="")  # a blank at a fold
@example(workorder="¡ )", purpose="", footer="", who="")  # and at the end of what is encoded
@example(workorder="¡ =?utf-8?q?x?=", purpose="", footer="", who="")
@example(workorder="=?utf-8?q?x?=", purpose="", footer="", who="")
@example(workorder="¡ " + "a" * 128, purpose="", footer="", who="")
def test_whatever_an_owner_wrote_becomes_a_mail(
    workorder: str, purpose: str, footer: str, who: str
) -> None:
    branded = link(workorder=workorder, branding=Branding(footer_text=footer))
    mail = NotificationMail(SENDER, ENGLISH).compose(
        "owner@facility.example", branded, [Event("access", address=who)], NOW, purpose
    )
    source = Letter.from_body(mail.body).message
    assert source.isascii()
    assert max(map(len, source.split("\r\n"))) <= 78
    message = message_from_string(source, EmailMessage, policy=policy.default)
    assert len(message.items()) == 11
    assert message["Subject"] == f"Work order {one_line(workorder)}: 1 visit"
    text = message.get_body(("plain",))
    assert text is not None
    assert one_line(purpose) in text.get_content()


def test_each_mail_has_a_message_id_of_its_own() -> None:
    composer = NotificationMail(SENDER, ENGLISH)
    found = {composer.compose("a@b.example", link(), EVENTS, NOW).message_id for _ in range(3)}
    assert len(found) == 3


def test_a_recipient_that_is_no_address_gets_no_mail() -> None:
    with pytest.raises(ValueError, match="mail address"):
        NotificationMail(SENDER, ENGLISH).compose(
            "a@b.example\r\nBcc: c@d.example", link(), EVENTS, NOW
        )
