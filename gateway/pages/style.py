"""What a page may load, and the style sheet of a link's colour.

The pages run no script and load nothing but what this gateway serves under `/-/assets/`. Nothing
is inline, so the policy needs no exception. The one page on a host that is not ours, where
nothing else is answered, brings its style along, and the policy names it by its hash (CSP Level 3
section 6.7.3.3).
"""

from __future__ import annotations

import base64
import hashlib
import re

from gateway.links.model import Link, LinkType
from gateway.pages.colours import adjusted, text_color

# The grounds that a link's colour stands on: `--card` in portal.css, in light and in dark.
CARDS = ("#ffffff", "#1a1f1c")
# WCAG 2.2: success criteria 1.4.3 for text, and 1.4.11 for what has to be made out.
TEXT_RATIO = 4.5
SHAPE_RATIO = 3.0

_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")


def content_security_policy(link: Link | None, inline_style: bytes | None = None) -> str:
    """The `Content-Security-Policy` of one page of ours.

    Pages of a public link may be framed by other sites; all others by their own origin alone.
    `inline_style` is the style that stands in the page, if one does.
    """
    style = "'self'" if inline_style is None else f"'sha256-{_digest(inline_style)}'"
    policy = (
        f"default-src 'none'; style-src {style}; img-src 'self'; "
        "form-action 'self'; base-uri 'none'"
    )
    if link is not None and link.link_type is LinkType.PUBLIC:
        return policy
    return f"{policy}; frame-ancestors 'self'"


def _digest(style: bytes) -> str:
    return base64.b64encode(hashlib.sha256(style).digest()).decode()


def is_color(text: str) -> bool:
    """Whether `text` is `#` and six hex digits, and so can stand in a style sheet."""
    return _COLOR.fullmatch(text) is not None


def brand_style(color: str) -> str:
    """The style sheet for a link's colour, adjusted for light and for dark.

    `--brand` is for shapes on the card, `--on-brand` for text on it, `--brand-text` for text in
    the colour. Raises ValueError for what is no colour.
    """
    if not is_color(color):
        raise ValueError("six hex digits after a # are wanted")
    light, dark = (_properties(color.lower(), card) for card in CARDS)
    return f":root{{{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def _properties(color: str, card: str) -> str:
    shape = adjusted(color, card, SHAPE_RATIO)
    text = adjusted(color, card, TEXT_RATIO)
    return f"--brand:{shape};--on-brand:{text_color(shape)};--brand-text:{text}"
