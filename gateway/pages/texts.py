"""What a visitor is told: the words for every reason, in one table.

A page shows all of a row, in the visitor's language; the JSON answer's `error` is the second part,
in English. Nothing here says more about a link than its visitor may know: who holds a wrong token
and who holds none read the same kind of sentence.

`N_` marks a message for the catalogues. Advice is a row of whole sentences: each is translated
once, however many reasons give it.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.languages import N_
from gateway.links.verdict import Reason


@dataclass(frozen=True, slots=True)
class Words:
    """One reason: a heading, what happened (one sentence), and what the visitor can do next."""

    heading: str
    happened: str
    advice: tuple[str, ...]


_ASK = N_("Ask the person who sent you the link.")
_NEW_LINK = N_("They can send you a new one.")
_FINE = N_("Your link is fine.")
_WAIT = N_("Please wait a little and load the page again.")
_TELL = N_("If it stays so, tell the person who sent you the link.")
_ONCE_MORE = N_("Open the link that you were sent once more.")
_UNREACHABLE = N_("The work order cannot be reached")

WORDS: dict[Reason, Words] = {
    Reason.PASSWORD_REQUIRED: Words(
        N_("Password needed"),
        N_("This link is protected with a password."),
        (N_("The person who sent you the link can tell you the password."),),
    ),
    Reason.PASSWORD_WRONG: Words(
        N_("Password needed"),
        N_("That password is not right."),
        (N_("Check capital letters and spaces, and try again."),),
    ),
    Reason.EMAIL_REQUIRED: Words(
        N_("Confirm your email address"),
        N_("This link asks for an email address that you can be reached at."),
        (N_("Enter your address, and a code is sent to it."),),
    ),
    Reason.CODE_REQUIRED: Words(
        N_("Check your mail"),
        N_("The code that was sent to your email address is needed."),
        (N_("Enter the code from the mail."), N_("It works in this browser only.")),
    ),
    Reason.CODE_WRONG: Words(
        N_("Check your mail"),
        N_("That code is not right, or is no longer valid."),
        (N_("Check the digits, or have a new code sent."),),
    ),
    Reason.CONFIRM_REQUIRED: Words(
        N_("Open the work order"),
        N_("This link can be opened a limited number of times."),
        (N_("Opening it now counts as one of them."),),
    ),
    Reason.UNKNOWN_TOKEN: Words(
        N_("This link does not work"),
        N_("There is no such link."),
        (N_("Check that the address was copied whole, up to its last character."), _ASK),
    ),
    Reason.SESSION_REQUIRED: Words(
        N_("Please open your link again"),
        N_("This page opens with a link only, and no link is open in this browser."),
        (N_("Your time may have run out."), _ONCE_MORE),
    ),
    Reason.INACTIVE: Words(
        N_("This link is switched off"),
        N_("The link was switched off by its owner."),
        (_ASK, N_("They can switch it on again, or send you a new one.")),
    ),
    Reason.EXPIRED: Words(
        N_("This link has expired"),
        N_("The link could be used until a certain date, which has passed."),
        (_ASK, _NEW_LINK),
    ),
    Reason.EXHAUSTED: Words(
        N_("This link is used up"),
        N_("The link has been opened as many times as it may be."),
        (_ASK, _NEW_LINK),
    ),
    Reason.IP_NOT_ALLOWED: Words(
        N_("Not from this network"),
        N_("This link can be used from certain networks only, and this is not one of them."),
        (
            N_("Try again from your company's network, or with its VPN."),
            N_("If that does not help, ask the person who sent you the link."),
        ),
    ),
    Reason.NO_ROUTE: Words(
        N_("There is no such page"),
        N_("Nothing can be reached at this address through your link."),
        (N_("Go back, or open the link that you were sent once more."),),
    ),
    Reason.NOT_PERMITTED: Words(
        N_("Your link does not allow this"),
        N_("The link shows you a part of one work order, and this is not in it."),
        (N_("If you need it, ask the person who sent you the link."),),
    ),
    Reason.ORIGIN_REFUSED: Words(
        N_("This was sent from another site"),
        N_("The request came from a page of another site, so it was not carried out."),
        (N_("Open the link that you were sent, and do it from there."),),
    ),
    Reason.MISDIRECTED: Words(
        N_("Wrong address"),
        N_("This address is not answered here."),
        (N_("Check the address, or open the link exactly as it was sent to you."),),
    ),
    Reason.THROTTLED: Words(
        N_("Too many tries"),
        N_("There were too many tries."),
        (N_("Nothing is lost: wait until the time is over, and go on."),),
    ),
    Reason.BAD_REQUEST: Words(
        N_("This request cannot be read"),
        N_("The request can be read in more than one way, or in none."),
        (N_("Open the link exactly as it was sent to you."),),
    ),
    Reason.BODY_TOO_LARGE: Words(
        N_("This is too large"),
        N_("What was sent is larger than what is accepted here."),
        (N_("Go back, and send a smaller file, or several one by one."),),
    ),
    Reason.HEADER_TOO_LARGE: Words(
        N_("This request is too large"),
        N_("The browser sent more along with the request than what is accepted here."),
        (N_("Delete this site's cookies, and open your link again."),),
    ),
    Reason.UPSTREAM_UNAVAILABLE: Words(
        _UNREACHABLE,
        N_("The system that holds the work order does not answer at the moment."),
        (_FINE, _WAIT, _TELL),
    ),
    Reason.UPSTREAM_LOGIN_FAILED: Words(
        _UNREACHABLE,
        N_("The system that holds the work order does not let this portal in at the moment."),
        (_FINE, _TELL),
    ),
    Reason.UPSTREAM_TIMEOUT: Words(
        _UNREACHABLE,
        N_("The system that holds the work order took too long to answer."),
        (N_("Look whether what you did has arrived before you do it again."), _TELL),
    ),
    Reason.STORE_UNAVAILABLE: Words(
        N_("Not possible at the moment"),
        N_("A part of this portal is out of order, so nothing was done."),
        (_FINE, _WAIT, _TELL),
    ),
    Reason.OVERLOADED: Words(
        N_("Very busy at the moment"),
        N_("More people are here than this portal can serve at once."),
        (_FINE, _WAIT),
    ),
}
