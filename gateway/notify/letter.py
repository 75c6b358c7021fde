"""A mail as the mail server gets it: composed once, and the same at every try.

A text part and an HTML part (RFC 2046 section 5.1.4), both quoted-printable, so that every line is
short ASCII whatever the language: no server has to offer 8BITMIME or SMTPUTF8 for it. The ids in
it are letters: nothing in a mail that brings a code looks like a code but the code.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email import policy
from email.header import Header
from email.headerregistry import (
    Address,
    BaseHeader,
    HeaderRegistry,
    UnstructuredHeader,
)
from email.message import EmailMessage
from email.utils import format_datetime
from string import ascii_lowercase
from typing import Any

from gateway.request.mail_address import normal_address

# A text to the end of its last word that is not ASCII or looks encoded, and what follows, if it fits
# on a line.
_ENCODED_PART = re.compile(
    r"(?=.*(?:[^\x00-\x7f]|=\?))(.*?)(?: ((?!.*=\?)[\x21-\x7e][\x20-\x7e]{0,60}))?", re.DOTALL
)
# 28 letters are 131 random bits.
_ID_LETTERS = 28


class _Unfolded(UnstructuredHeader, BaseHeader):
    """A header that is one word, and means nothing if it is encoded (RFC 2919 section 2)."""

    def fold(self, *, policy: policy.Policy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


class _Subject(UnstructuredHeader, BaseHeader):
    """A subject. The package's own folding loses a blank where a line ends between encoded words.

    What stands between two of them is no part of the text (RFC 2047 section 6.2). So the text is
    encoded in one piece up to its last word that is not ASCII; what follows, a code, stays as it
    is.
    """

    max_count = 1

    @classmethod
    def parse(cls, value: str, kwds: dict[str, Any]) -> None:
        super().parse(value, kwds)
        kwds["decoded"] = value  # what looks encoded was written so, by a person

    def fold(self, *, policy: policy.Policy) -> str:
        match = _ENCODED_PART.fullmatch(self)
        if match is None:
            return str(super().fold(policy=policy))
        lines = [Header(match[1], "utf-8", header_name=self.name).encode(linesep=policy.linesep)]
        if match[2]:
            lines.append(match[2])
        folded = f"{policy.linesep} ".join(lines)
        return f"{self.name}: {folded}{policy.linesep}"


_HEADERS = HeaderRegistry()
_HEADERS.map_to_type("subject", _Subject)
_HEADERS.map_to_type("list-id", _Unfolded)
_POLICY = policy.SMTP.clone(header_factory=_HEADERS)


@dataclass(frozen=True, slots=True)
class Letter:
    """An envelope and what is in it; `message` is ASCII with CR LF, ready to be sent.

    A withheld letter is written, kept and taken out of the outbox like any other, and not sent.
    """

    sender: str
    recipient: str = field(repr=False)
    message: str = field(repr=False)
    withheld: bool = False

    def to_body(self) -> str:
        """As one text, for the outbox."""
        return json.dumps(asdict(self))

    @classmethod
    def from_body(cls, body: str) -> Letter:
        """What `to_body` made."""
        return cls(**json.loads(body))


@dataclass(frozen=True, slots=True)
class Content:
    """What a mail says, in one language (a BCP 47 tag)."""

    subject: str
    text: str
    html: str
    language: str


def new_message_id(sender: Address) -> str:
    """A `Message-ID` that no other mail has (RFC 5322 section 3.6.4), in the sender's domain."""
    return f"<{_letters()}@{sender.domain}>"


def compose(
    sender: Address,
    recipient: Address,
    content: Content,
    *,
    message_id: str,
    now: float,
    headers: Mapping[str, str] | None = None,
) -> str:
    """The message, complete (RFC 5322); `now` is its date, in seconds since the epoch.

    Raises ValueError if anything that stands in a header could end it.
    """
    message = EmailMessage(_POLICY)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = content.subject
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = message_id
    # No out-of-office answers, please: RFC 3834 section 5, and Exchange's own word for it.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    for name, value in (headers or {}).items():
        message[name] = value
    message.set_content(content.text, cte="quoted-printable")
    message.add_alternative(content.html, subtype="html", cte="quoted-printable")
    message.set_boundary(f"=_{_letters()}")
    # After the parts: what stands here before them is taken for the first part's.
    message["Content-Language"] = content.language
    return message.as_bytes().decode("ascii")


def parse_address(text: str) -> Address:
    """Exactly one address, without a name (RFC 5322 `addr-spec`), in ASCII.

    Raises ValueError for anything else; the text is not quoted in the error.
    """
    return Address(addr_spec=normal_address(text))


def _letters() -> str:
    return "".join(secrets.choice(ascii_lowercase) for _ in range(_ID_LETTERS))
