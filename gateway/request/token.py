"""A link's token where none belongs: whoever sees it there could use it."""

from __future__ import annotations

import re
from urllib.parse import unquote

# A token, whole or cut off, also with the percent-encoding that somebody may add.
_ANY_PART = re.compile(r"wpl(?:_|%5[Ff])[A-Za-z0-9]{8,}")
_WHOLE = re.compile(r"wpl_[A-Za-z0-9]{32,}")
_REDACTED = "wpl_[redacted]"


def redact(text: str) -> str:
    """`text` without what looks like the token of a link, or like a part of one."""
    return _ANY_PART.sub(_REDACTED, text)


def holds_whole_token(text: str) -> bool:
    """Whether `text`, percent-encoded or not, holds what could open a link.

    A file may be called `wpl_plan.pdf`; that opens nothing.
    """
    return bool(_WHOLE.search(text) or ("%" in text and _WHOLE.search(unquote(text))))
