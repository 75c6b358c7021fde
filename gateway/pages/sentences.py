"""The table's words in one language, and the sentences that depend on more than the reason."""

from __future__ import annotations

from gateway.languages import Language, language
from gateway.links.model import Link
from gateway.links.verdict import Reason
from gateway.pages.texts import WORDS, Words

ENGLISH = language("en")


def words_in(spoken: Language, reason: Reason) -> Words:
    """The row of `reason`, translated. Raises KeyError for `ok`."""
    words = WORDS[reason]
    return Words(
        spoken.gettext(words.heading),
        spoken.gettext(words.happened),
        tuple(spoken.gettext(sentence) for sentence in words.advice),
    )


def error_sentence(
    reason: Reason, detail: str = "", retry_after: int | None = None, spoken: Language = ENGLISH
) -> str:
    """What happened, in a sentence or two: the JSON answer's `error`, and a gate's `problem`.

    `detail` stands instead of the reason's own words where it can be said in this language: some
    details are for whoever debugs a client, and are not translated. `retry_after` is in seconds.
    Raises KeyError for `ok`, which is no error.
    """
    happened = spoken.gettext(detail) if detail else ""
    if not happened or (happened == detail and spoken is not ENGLISH):
        happened = spoken.gettext(WORDS[reason].happened)
    return happened if retry_after is None else f"{happened} {wait_sentence(retry_after, spoken)}"


def wait_sentence(retry_after: int, spoken: Language = ENGLISH) -> str:
    """When to try again, for people; `retry_after` is in seconds and is rounded up."""
    seconds = max(retry_after, 1)
    minutes = -(-seconds // 60)
    hours = -(-minutes // 60)
    if seconds < 60:
        message = spoken.ngettext(
            "Try again in %(count)d second.", "Try again in %(count)d seconds.", seconds
        )
        return message % {"count": seconds}
    if minutes < 60:
        message = spoken.ngettext(
            "Try again in %(count)d minute.", "Try again in %(count)d minutes.", minutes
        )
        return message % {"count": minutes}
    message = spoken.ngettext(
        "Try again in %(count)d hour.", "Try again in %(count)d hours.", hours
    )
    return message % {"count": hours}


def expiry_sentence(spoken: Language, link: Link) -> str | None:
    """Until when the link could be used; None if it never expires.

    For a visitor who has just been told that it has expired: whoever holds the token knows that.
    """
    if link.expires_at is None:
        return None
    message = spoken.gettext("The link could be used until %(moment)s.")
    return message % {"moment": spoken.moment(link.expires_at)}
