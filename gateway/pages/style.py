"""What a page may load, and the one colour that a link brings along.

The pages run no script and load nothing but this gateway's own style sheet and icon. A link's
colour needs a style of its own: it stands in a `<style>` that the policy admits by a nonce, made
anew for each answer (CSP Level 3 section 6.7.3.3), so nothing else inline can ever apply.
"""

from __future__ import annotations

import re
import secrets

from markupsafe import Markup

from gateway.links.model import Link, LinkType

_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,}")


def new_nonce() -> str:
    """A nonce for one answer: 128 random bits."""
    return secrets.token_urlsafe(16)


def content_security_policy(nonce: str, link: Link | None) -> str:
    """The `Content-Security-Policy` of one page of ours, with the nonce that its style carries.

    Pages of a public link may be framed by other sites; all others by their own origin alone.
    Raises ValueError for a nonce that could end the directive that it stands in.
    """
    if not _NONCE.fullmatch(nonce):
        raise ValueError("a nonce is at least 16 URL-safe characters")
    policy = (
        f"default-src 'none'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'"
    )
    if link is not None and link.link_type is LinkType.PUBLIC:
        return policy
    return f"{policy}; frame-ancestors 'self'"


def brand_style(color: str | None) -> Markup:
    """The custom properties for a link's colour as CSS, or nothing for none or a bad one.

    Only six hex digits get through, so what is marked as safe here cannot hold anything else.
    """
    if color is None or not _COLOR.fullmatch(color):
        return Markup("")
    return Markup(f":root{{--brand:{color};--on-brand:{text_color(color)}}}")  # noqa: S704


def text_color(color: str) -> str:
    """Black or white, whichever is read better on `color` (`#rrggbb`).

    The better of the two has a contrast ratio of at least 4.58 on every colour, above the 4.5
    that WCAG 2.2 asks for (success criterion 1.4.3).
    """
    luminance = relative_luminance(color)
    on_black = (luminance + 0.05) / 0.05
    on_white = 1.05 / (luminance + 0.05)
    return "#000000" if on_black >= on_white else "#ffffff"


def relative_luminance(color: str) -> float:
    """The relative luminance of `#rrggbb`, from 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    red, green, blue = (_linear(int(color[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
