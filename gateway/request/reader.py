"""Who reads the answer: what `User-Agent` and its like say, in one value. Pure.

A browser says the same on every request, so what follows from it is found out once.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from gateway.request.agent import claims_fetch_metadata, is_prefetch
from gateway.request.bots import is_bot
from gateway.request.token import redact

MAX_USER_AGENT = 512
"""Characters of a user agent that are kept."""
_LOOKED_AT = 2 * MAX_USER_AGENT
_PURPOSE_LOOKED_AT = 64


class Reader(NamedTuple):
    """`user_agent` is redacted and cut; `is_bot` and `is_unseen` are as in `Scope`."""

    user_agent: str
    is_bot: bool
    is_unseen: bool


def reader_of(
    user_agent: str, purposes: tuple[str, ...], *, hides: bool, is_trustworthy: bool
) -> Reader:
    """What is said of the reader of the answer to a safe request.

    `purposes` are the values for `is_prefetch`. `hides` says that neither `Accept-Language` nor
    Fetch Metadata was sent, `is_trustworthy` that browsers send the latter to this origin.
    """
    purposes = tuple(purpose[:_PURPOSE_LOOKED_AT] for purpose in purposes)
    return _reader_of(user_agent[:_LOOKED_AT], purposes, hides and is_trustworthy)


@lru_cache(maxsize=4096)
def _reader_of(raw: str, purposes: tuple[str, ...], should_have_said: bool) -> Reader:
    user_agent = redact(raw)[:MAX_USER_AGENT]
    bot = is_bot(user_agent)
    # A browser's name on a request that no such browser sends: so do mail scanners ask that are
    # not to be known as such. It is no more than a suspicion, and decides nothing that a person
    # who is wrongly suspected would notice.
    disguised = should_have_said and claims_fetch_metadata(user_agent)
    unseen = bot or is_prefetch(*purposes) or disguised
    return Reader(user_agent, bot, unseen)
