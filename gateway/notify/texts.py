"""What the mails say: the words, in text and HTML, from the templates beside this module.

Nothing in them is loaded from anywhere, so that opening a mail tells nobody that it was opened.
"""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from gateway.languages import Language
from gateway.links.model import Link
from gateway.notify.letter import Content

_DEFAULT_COLOR = "#1f5f4a"
_MAX_LINE = 200

_TEMPLATES = Environment(
    loader=PackageLoader("gateway.notify"),
    autoescape=select_autoescape(["html.j2"]),
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
)


def code_content(code: str, minutes: int, link: Link, spoken: Language) -> Content:
    """The mail that brings `code`, which is valid for `minutes`.

    It has no link in it: programs that open the links of a mail would act for the visitor. It
    does not name the work order either, which may not be shown before the gates are passed. The
    code ends the subject, where a telephone's notification shows it.
    """
    _ = spoken.gettext
    once = spoken.ngettext(
        "It works once, for %(minutes)d minute.", "It works once, for %(minutes)d minutes.", minutes
    )
    return content(
        "code",
        subject=_("Your code for the work order portal: %(code)s") % {"code": code},
        link=link,
        spoken=spoken,
        values={"code": code, "once": once % {"minutes": minutes}},
    )


def content(
    name: str, *, subject: str, link: Link, spoken: Language, values: Mapping[str, object]
) -> Content:
    """The two templates called `name`, filled with `values` in the link's branding."""
    given = {
        **values,
        "_": spoken.gettext,
        "language": spoken,
        "brand": _rgb(link.branding.brand_color or _DEFAULT_COLOR),
        "footer": lines(link.branding.footer_text or ""),
    }
    text, html = (_TEMPLATES.get_template(f"{name}.{kind}.j2") for kind in ("txt", "html"))
    return Content(subject, text.render(given), html.render(given), spoken.code)


def one_line(text: str) -> str:
    """`text` as one line that can end no header and turn no other text round.

    What is not printable, direction marks included, counts as a blank; what is too long is cut.
    """
    words = "".join(c if c.isprintable() else " " for c in text).split()
    line = " ".join(words)
    return line if len(line) <= _MAX_LINE else f"{line[: _MAX_LINE - 1]}…"


def lines(text: str) -> list[str]:
    """The lines of `text`, each as `one_line` makes it, without empty ones at either end."""
    return [one_line(line) for line in text.strip().splitlines()]


def _rgb(color: str) -> str:
    """`#rrggbb` without a row of six digits, which a reader of codes might take for one."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgb({red},{green},{blue})"
