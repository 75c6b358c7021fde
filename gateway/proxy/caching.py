"""What of an answer may be kept, and by whom. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

NO_STORE = "private, no-store"

# A directive of Cache-Control (RFC 9111 section 5.2); a quoted string may hold commas.
_DIRECTIVE = re.compile(r"""\s*([^\s=,"]+)((?:\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^,"]*))?)\s*(?:,|$)""")
# What speaks to shared caches. One answer is for one link's visitors: no shared cache keeps it.
_FOR_SHARED_CACHES = frozenset({"public", "private", "s-maxage", "proxy-revalidate"})


def made_private(cache_control: Iterable[str]) -> str:
    """A backend's `Cache-Control` values as one, for the visitor's browser alone.

    A value that cannot be read says nothing that could be relied on: it becomes `no-store`.
    """
    directives = ["private"]
    for value in cache_control:
        position = 0
        while position < len(value):
            match = _DIRECTIVE.match(value, position)
            if match is None:
                if value[position:].strip(" \t,"):
                    return NO_STORE
                break
            position = match.end()
            if match[1].lower() not in _FOR_SHARED_CACHES:
                directives.append(match[1] + match[2])
    return ", ".join(directives)
