"""What the headers say of the client: a navigation, a prefetch, a known bot.

The list of bots is short and names programs that say who they are. It decides what is counted,
never who is let in, so a program that lies gains nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache

# Crawlers, link previewers of chat and mail programs, and mail scanners that name themselves.
# A library's name (curl, python-requests) is no bot: people work with these.
_BOTS = re.compile(
    # "bot" as the end of a name, but for the telephones of that maker.
    r"(?<!cu)bots?\b|crawl|spider|slurp|preview|"
    r"facebookexternalhit|facebookcatalog|meta-externalagent|meta-externalfetcher|"
    r"whatsapp/|slack-imgproxy|kakaotalk-scrap|iframely|embedly|vkshare|"
    r"microsoft office|ms-office|msoffice|"
    r"google-read-aloud|googleimageproxy|mediapartners-google|feedfetcher|"
    r"apis-google|google-inspectiontool|google-safety|"
    r"barracuda|proofpoint|mimecast|safelinks|urldefense|trendmicro|"
    r"symantec|forcepoint|cloudmark|zscaler|"
    r"chrome-lighthouse|pagespeed|gtmetrix|ia_archiver|claude-web|perplexity|chatgpt-user",
    re.IGNORECASE,
)


@lru_cache(maxsize=4096)
def is_bot(user_agent: str) -> bool:
    """Whether a program says in `User-Agent` that nobody is looking at the answer."""
    return bool(_BOTS.search(user_agent))


def is_navigation(sec_fetch_mode: str | None, accept: str | None) -> bool:
    """Whether a browser asks for a page to show, by Fetch Metadata or else by `Accept`."""
    if sec_fetch_mode is not None:
        return sec_fetch_mode == "navigate"
    return accept is not None and "text/html" in accept.lower()


def is_prefetch(sec_purpose: str | None, purpose: str | None) -> bool:
    """Whether a browser asks ahead, for a page that may never be shown."""
    return any(
        value is not None
        and (
            "prefetch" in value.lower()
            or "preview" in value.lower()
            or "prerender" in value.lower()
        )
        for value in (sec_purpose, purpose)
    )
