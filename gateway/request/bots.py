"""Programs that say in `User-Agent` that nobody is looking at the answer.

The list of crawlers is crawler-user-agents (docs/adr/0011): the one list whose entries are tagged,
so that its HTTP libraries, which people work with, can be left out by their tag. What is written
here is where this program knows better, for a link that is sent by mail and chat to few people.

A bot is a matter of what is counted, never of who is let in: a program that lies gains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

# curl, Java, python-requests: a program that somebody runs is not for that reason a robot.
_LIBRARY = "http-library"
# A browser without a screen, or one that an assistant leads: somebody sent it, as with a library.
_DRIVEN = "browser-automation"

# In the list, but people's own: pages that an app shows, editors and desktops with a browser
# inside, and the build of Android that a hundred makes of telephones share.
_PEOPLES = {"AP3A\\.240617\\.008", "MetaIAB Facebook", "Code\\/1\\.", "Trae\\/", "Fluid"}

# In the list, and at the same time the names of telephones, of apps that show pages, and of
# desktop programs (Slack's is "Sonic Slack_SSB"). The robot names itself first; these do so last.
_AT_THE_START = {
    *("Asana\\/", "Blackboard", "Bluesky\\/", "Butterfly", "Charlotte", "Daum\\/", "Feedly"),
    *("Grammarly\\/", "HubSpot", "Instapaper\\/", "Magellan", "Notion\\/", "Operator\\/"),
    *("PayPal\\/", "Sonic", "Splunk", "Stripe\\/", "Tumblr\\/", "Viber", "Yeti"),
}
_START = r"(?:^|^Mozilla/5\.0 \(compatible; (?:\+?[^;)]*; )?)"

# Not in the list, or there in one spelling of many.
_OURS = re.compile(
    # "bot" as the end of a name, but for the telephones of that maker.
    r"(?<!cu)bots?\b|crawl|spider|slurp|"
    # What shows a link's title in a chat or a mail.
    r"preview|unfurl|facebookexternalhit|line-poker|kakaotalk-scrap|whatsapp/|^rocket\.chat/|"
    # Office asks for a document, or a link in one, before it hands the address to a browser.
    r"microsoft office|ms-office|msoffice|"
    # What follows the links of a mail before, or when, it is opened.
    r"barracuda|proofpoint|mimecast|safelinks|urldefense|trend ?micro|symantec|messagelabs|"
    r"forcepoint|cloudmark|zscaler|ironport|cisco secure email|fortimail|sophos email|cofense|"
    r"hornetsecurity|vadesecure|trustwave|fireeye|avanan|mailscanner|email security|"
    # Fetchers for people who are not looking yet.
    r"feedfetcher|chatgpt-user|claude-user|perplexity",
    re.IGNORECASE,
)

# Patterns in one expression: measured as the fastest; in all about 0.1 ms for a browser's agent.
_TOGETHER = 25


def _patterns(entries: Iterable[Mapping[str, Any]]) -> list[re.Pattern[str]]:
    """The patterns of `entries` as they are used here: fewer, and some of them narrower."""
    wanted = [
        _START + entry["pattern"] if entry["pattern"] in _AT_THE_START else entry["pattern"]
        for entry in entries
        if entry["pattern"] not in _PEOPLES
    ]
    return [
        re.compile("|".join(wanted[start : start + _TOGETHER]))
        for start in range(0, len(wanted), _TOGETHER)
    ]


def _tags(entry: Mapping[str, Any]) -> set[str]:
    return set(entry.get("tags", ()))


_LISTED = _patterns(e for e in CRAWLER_USER_AGENTS_DATA if not _tags(e) & {_LIBRARY, _DRIVEN})


@lru_cache(maxsize=4096)
def is_bot(user_agent: str) -> bool:
    """Whether this is a known crawler, a link previewer, or a mail scanner that says so."""
    return bool(_OURS.search(user_agent)) or any(each.search(user_agent) for each in _LISTED)
