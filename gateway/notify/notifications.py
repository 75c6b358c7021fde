"""What an owner is told by mail: what happened on a link, several things in one mail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from email.headerregistry import Address
from typing import Protocol

from babel.lists import format_list

from gateway.languages import Language
from gateway.links.model import Link
from gateway.notify.letter import Content, Letter, compose, new_message_id, parse_address
from gateway.notify.texts import content, one_line
from gateway.store.outbox import MailKind, OutgoingMail

# Seconds after which nobody needs to be told any more.
NOTIFICATION_LIFE = 86_400.0
# Events in one mail; of what is beyond them the mail says how many there were.
MOST_TOLD = 50


class Happened(Protocol):
    """Something that happened on a link: `kind` is "access", "comment" or "file_upload".

    `at` is in seconds since the epoch. `email` is a verified address; `address` is the client's,
    as far as it may be kept, or empty.
    """

    @property
    def kind(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def email(self) -> str | None: ...
    @property
    def address(self) -> str: ...


class NotificationMail:
    """Composes notifications from `sender`, in the language `spoken`."""

    def __init__(self, sender: Address, spoken: Language) -> None:
        self._sender = sender
        self._language = spoken

    def compose(
        self,
        recipient: str,
        link: Link,
        events: Sequence[Happened],
        now: float,
        purpose: str | None = None,
    ) -> OutgoingMail:
        """The mail that tells `recipient` of `events`, oldest first, at least one.

        `purpose` is the link's. Whoever is told may not open the link: its token is not in it.
        Raises ValueError if `recipient` is not one address.
        """
        message_id = new_message_id(self._sender)
        message = compose(
            self._sender,
            parse_address(recipient),
            notification_content(link, events, self._language, purpose),
            message_id=message_id,
            now=now,
            # RFC 2919: what one link's mails are sorted by. There is no List-Unsubscribe: it would
            # have to change the link, which takes a key of the admin API and no mere mail.
            headers={"List-Id": f"<{link.id}.portal-links.{self._sender.domain}>"},
        )
        return OutgoingMail(
            kind=MailKind.NOTIFICATION,
            link_id=link.id,
            message_id=message_id,
            body=Letter(self._sender.addr_spec, recipient, message).to_body(),
            created_at=now,
            expires_at=now + NOTIFICATION_LIFE,
        )


def notification_content(
    link: Link, events: Sequence[Happened], spoken: Language, purpose: str | None = None
) -> Content:
    """What happened, in the subject by numbers, in the text one by one."""
    told = events[:MOST_TOLD]
    beyond = len(events) - len(told)
    headline = spoken.gettext("Work order %(workorder)s: %(what)s") % {
        "workorder": one_line(link.workorder),
        "what": _summary(events, spoken),
    }
    more = spoken.ngettext("And %(count)d more.", "And %(count)d more.", beyond)
    values = {
        "headline": headline,
        "items": [{"what": _sentence(e, spoken), "at": spoken.moment(e.at)} for e in told],
        "more": more % {"count": beyond} if beyond else "",
        "link_name": f"{one_line(purpose)} ({link.id})" if purpose else link.id,
    }
    return content("notification", subject=headline, link=link, spoken=spoken, values=values)


def _summary(events: Sequence[Happened], spoken: Language) -> str:
    """How many of each kind, as in "1 visit and 2 comments"."""
    numbers = Counter(str(event.kind) for event in events)
    parts = [_number(kind, number, spoken) for kind, number in sorted(numbers.items())]
    return format_list(parts, locale=spoken.locale)


def _number(kind: str, number: int, spoken: Language) -> str:
    match kind:
        case "access":
            form = spoken.ngettext("%(count)d visit", "%(count)d visits", number)
        case "comment":
            form = spoken.ngettext("%(count)d comment", "%(count)d comments", number)
        case _:
            form = spoken.ngettext("%(count)d upload", "%(count)d uploads", number)
    return form % {"count": number}


def _sentence(event: Happened, spoken: Language) -> str:
    _ = spoken.gettext
    match str(event.kind):
        case "access":
            sentence = _("%(who)s opened the link.")
        case "comment":
            sentence = _("%(who)s added a comment.")
        case _:
            sentence = _("%(who)s uploaded a file.")
    return sentence % {"who": _who(event, spoken)}


def _who(event: Happened, spoken: Language) -> str:
    if event.email:
        return one_line(event.email)
    if event.address:
        return spoken.gettext("Somebody at %(address)s") % {"address": one_line(event.address)}
    return spoken.gettext("Somebody")
