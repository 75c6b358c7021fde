"""What a visitor is told: the words for every reason, in one table.

A page shows all three texts of a row; the JSON answer's `error` is the second. Nothing here says
more about a link than its visitor may know: who holds a wrong token and who holds none read the
same kind of sentence.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.links.verdict import Reason


@dataclass(frozen=True, slots=True)
class Words:
    """One reason: a heading, what happened (one sentence), and what the visitor can do next."""

    heading: str
    happened: str
    advice: str


_ASK = "Ask the person who sent you the link."
_WAIT = "Please wait a little and load the page again."
_TELL = "If it stays so, tell the person who sent you the link."

WORDS: dict[Reason, Words] = {
    Reason.PASSWORD_REQUIRED: Words(
        "Password needed",
        "This link is protected with a password.",
        "The person who sent you the link can tell you the password.",
    ),
    Reason.PASSWORD_WRONG: Words(
        "Password needed",
        "That password is not right.",
        "Check capital letters and spaces, and try again.",
    ),
    Reason.EMAIL_REQUIRED: Words(
        "Confirm your mail address",
        "This link asks for a mail address that you can be reached at.",
        "Name your mail address, and you get a code to enter.",
    ),
    Reason.CODE_REQUIRED: Words(
        "Check your mail",
        "The code that was sent to your mail address is needed.",
        "Enter the code from the mail. It works in this browser only.",
    ),
    Reason.CODE_WRONG: Words(
        "Check your mail",
        "That code is not right, or is no longer valid.",
        "Check the digits, or have a new code sent.",
    ),
    Reason.CONFIRM_REQUIRED: Words(
        "Open the work order",
        "This link can be opened a limited number of times.",
        "Opening it now counts as one of them.",
    ),
    Reason.UNKNOWN_TOKEN: Words(
        "This link does not work",
        "There is no such link.",
        f"Check that the address was copied whole, up to its last character. {_ASK}",
    ),
    Reason.SESSION_REQUIRED: Words(
        "Please open your link again",
        "This page opens with a link only, and no link is open in this browser.",
        "Your time may have run out. Open the link that you were sent once more.",
    ),
    Reason.INACTIVE: Words(
        "This link is switched off",
        "The link was switched off by its owner.",
        f"{_ASK} They can switch it on again, or send you a new one.",
    ),
    Reason.EXPIRED: Words(
        "This link has expired",
        "The link could be used until a certain date, which has passed.",
        f"{_ASK} They can send you a new one.",
    ),
    Reason.EXHAUSTED: Words(
        "This link is used up",
        "The link has been opened as many times as it may be.",
        f"{_ASK} They can send you a new one.",
    ),
    Reason.IP_NOT_ALLOWED: Words(
        "Not from this network",
        "This link can be used from certain networks only, and this is not one of them.",
        "Try again from your company's network, or with its VPN. "
        "If that does not help, ask the person who sent you the link.",
    ),
    Reason.NO_ROUTE: Words(
        "There is no such page",
        "Nothing can be reached at this address through your link.",
        "Go back, or open the link that you were sent once more.",
    ),
    Reason.NOT_PERMITTED: Words(
        "Your link does not allow this",
        "The link shows you a part of one work order, and this is not in it.",
        f"If you need it: {_ASK[0].lower()}{_ASK[1:]}",
    ),
    Reason.ORIGIN_REFUSED: Words(
        "This was sent from another site",
        "The request came from a page of another site, so it was not carried out.",
        "Open the link that you were sent, and do it from there.",
    ),
    Reason.MISDIRECTED: Words(
        "Wrong address",
        "This address is not answered here.",
        "Check the address, or open the link exactly as it was sent to you.",
    ),
    Reason.THROTTLED: Words(
        "Too many tries",
        "There were too many tries.",
        "Nothing is lost: wait until the time is over, and go on.",
    ),
    Reason.BAD_REQUEST: Words(
        "This request cannot be read",
        "The request can be read in more than one way, or in none.",
        "Open the link exactly as it was sent to you.",
    ),
    Reason.BODY_TOO_LARGE: Words(
        "This is too large",
        "What was sent is larger than what is accepted here.",
        "Go back, and send a smaller file, or several one by one.",
    ),
    Reason.HEADER_TOO_LARGE: Words(
        "This request is too large",
        "The browser sent more along with the request than what is accepted here.",
        "Delete this site's cookies, and open your link again.",
    ),
    Reason.UPSTREAM_UNAVAILABLE: Words(
        "The work order cannot be reached",
        "The system that holds the work order does not answer at the moment.",
        f"Your link is fine. {_WAIT} {_TELL}",
    ),
    Reason.UPSTREAM_LOGIN_FAILED: Words(
        "The work order cannot be reached",
        "The system that holds the work order does not let this portal in at the moment.",
        f"Your link is fine. {_TELL}",
    ),
    Reason.UPSTREAM_TIMEOUT: Words(
        "The work order cannot be reached",
        "The system that holds the work order took too long to answer.",
        f"Look whether what you did has arrived before you do it again. {_TELL}",
    ),
    Reason.STORE_UNAVAILABLE: Words(
        "Not possible at the moment",
        "A part of this portal is out of order, so nothing was done.",
        f"Your link is fine. {_WAIT} {_TELL}",
    ),
    Reason.OVERLOADED: Words(
        "Very busy at the moment",
        "More people are here than this portal can serve at once.",
        f"Your link is fine. {_WAIT}",
    ),
}


def error_sentence(reason: Reason, detail: str = "", retry_after: int | None = None) -> str:
    """The JSON answer's `error`: `detail` where it says more, else what the reason says.

    `retry_after` is in seconds. Raises KeyError for `ok`, which is no error.
    """
    sentence = detail or WORDS[reason].happened
    return sentence if retry_after is None else f"{sentence} {wait_sentence(retry_after)}"


def wait_sentence(retry_after: int) -> str:
    """When to try again, for people; `retry_after` is in seconds and is rounded up."""
    if retry_after < 60:
        return f"Try again in {_count(max(retry_after, 1), 'second')}."
    minutes = -(-retry_after // 60)
    if minutes < 60:
        return f"Try again in {_count(minutes, 'minute')}."
    return f"Try again in {_count(-(-minutes // 60), 'hour')}."


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
