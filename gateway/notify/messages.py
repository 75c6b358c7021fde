"""What the mails say: plain text, no link, nothing that the visitor chose but the address."""

from __future__ import annotations

from datetime import UTC, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from gateway.links.model import Link

_CODE_MAIL = """\
Your code is {code}

Enter it on the page that asked for it, in the same browser. It works once, for {minutes} minutes.

If you did not ask for a code, somebody has mistyped an address: there is nothing to do. Do not
pass the code on to anybody, also not to people who say that they work for us.
"""


def code_message(
    sender: Address, to: Address, code: str, link: Link, minutes: int, now: float
) -> EmailMessage:
    """The mail that brings `code`, which is valid for `minutes`.

    It has no link in it: programs that open the links of a mail would act for the visitor. It
    does not name the work order either, which may not be shown before the gates are passed. The
    code ends the subject, where a notification on a telephone shows it.
    """
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = f"Your code for the work order portal: {code}"
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = make_msgid(domain=sender.domain)
    # No out-of-office answers, please (RFC 3834 section 5).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_CODE_MAIL.format(code=code, minutes=minutes) + _signature(link))
    return message


def _signature(link: Link) -> str:
    """The link's footer below the customary separator (RFC 3676 section 4.3), if it has one."""
    footer = link.branding.footer_text
    return f"\n-- \n{footer.strip()}\n" if footer and footer.strip() else ""


def parse_address(text: str) -> Address:
    """Exactly one address, without a name (RFC 5322 `addr-spec`).

    Raises ValueError for none, several, or any control character: what stands in a header field
    must not be able to end it. The text is not quoted in the error.
    """
    if not text.isprintable():
        raise ValueError("not one mail address")
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        # The standard library's parser raises each of these, and none for one reason alone.
        raise ValueError("not one mail address") from None
    if not address.username or not address.domain:
        raise ValueError("not one mail address")
    return address
