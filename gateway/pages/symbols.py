"""Which picture stands above the words: a help for whoever does not read them first.

Each is drawn in `templates/symbols.html.j2`, in the link's colour, and says nothing of its own: a
screen reader passes over it.
"""

from __future__ import annotations

from gateway.links.verdict import Reason

_LOCK, _MAIL, _DOOR, _CLOCK, _STOP, _SEARCH, _PLUG, _SIZE = (
    "lock",
    "mail",
    "door",
    "clock",
    "stop",
    "search",
    "plug",
    "size",
)

SYMBOL_OF: dict[Reason | None, str] = {
    None: _DOOR,  # the visitor has left
    Reason.PASSWORD_REQUIRED: _LOCK,
    Reason.PASSWORD_WRONG: _LOCK,
    Reason.EMAIL_REQUIRED: _MAIL,
    Reason.CODE_REQUIRED: _MAIL,
    Reason.CODE_WRONG: _MAIL,
    Reason.CONFIRM_REQUIRED: _DOOR,
    Reason.UNKNOWN_TOKEN: _SEARCH,
    Reason.SESSION_REQUIRED: _CLOCK,
    Reason.INACTIVE: _STOP,
    Reason.EXPIRED: _CLOCK,
    Reason.EXHAUSTED: _STOP,
    Reason.IP_NOT_ALLOWED: _STOP,
    Reason.NO_ROUTE: _SEARCH,
    Reason.NOT_PERMITTED: _LOCK,
    Reason.ORIGIN_REFUSED: _STOP,
    Reason.MISDIRECTED: _SEARCH,
    Reason.THROTTLED: _CLOCK,
    Reason.BAD_REQUEST: _SEARCH,
    Reason.BODY_TOO_LARGE: _SIZE,
    Reason.HEADER_TOO_LARGE: _SIZE,
    Reason.UPSTREAM_UNAVAILABLE: _PLUG,
    Reason.UPSTREAM_LOGIN_FAILED: _PLUG,
    Reason.UPSTREAM_TIMEOUT: _PLUG,
    Reason.STORE_UNAVAILABLE: _PLUG,
    Reason.OVERLOADED: _CLOCK,
}
