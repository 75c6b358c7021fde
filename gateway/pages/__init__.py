"""The gateway's own pages: the gates, the refusals, and the one that says goodbye.

texts      the words for every reason, in one table
sentences  the same in one language, with what depends on more than the reason
symbols    which picture stands above the words
templates/ the pages themselves; every sentence in them is marked for translation
colours    a link's colour, made fit to be read (pure)
style      what a page may load, and the style sheet of a link's colour
static     what `/-/assets/` serves

Plain HTML that works without script. Nothing is loaded from another site, a link's logo neither:
its server would learn each visitor's address before a rule has let them in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context as TemplateContext
from markupsafe import Markup

from gateway.languages import CODES, Language, language
from gateway.links.model import Branding, Link
from gateway.links.verdict import Gate, Reason
from gateway.pages.sentences import (
    ENGLISH,
    error_sentence,
    expiry_sentence,
    wait_sentence,
    words_in,
)
from gateway.pages.static import ASSETS_PATH, Asset, brand_asset, brand_asset_named, load_assets
from gateway.pages.style import content_security_policy, is_color
from gateway.pages.symbols import SYMBOL_OF

_REASON_OF_GATE = {
    Gate.PASSWORD: Reason.PASSWORD_REQUIRED,
    Gate.EMAIL: Reason.EMAIL_REQUIRED,
    Gate.CODE: Reason.CODE_REQUIRED,
    Gate.CONFIRM: Reason.CONFIRM_REQUIRED,
}
_NO_BRANDING = Branding()


@dataclass(frozen=True, slots=True)
class Look:
    """In which language, and in whose branding a page is shown.

    On a host that is not ours nothing but this page is answered: it then brings its style along.
    """

    spoken: Language = ENGLISH
    link: Link | None = None
    host_is_ours: bool = True


class Pages:
    """Renders pages; templates, assets and catalogues are read once, when it is made.

    `logo_name` says under which name a logo is served, by its URL, if it has been fetched.
    """

    def __init__(self, logo_name: Callable[[str], str | None] = lambda url: None) -> None:
        self._assets = load_assets()
        self._by_name = {asset.name: asset for asset in self._assets.values()}
        self._logo_name = logo_name
        environment = _environment()
        self._templates = {
            name: environment.get_template(f"{name}.html.j2")
            for name in (*(gate.value for gate in Gate), "refused", "left")
        }
        for code in CODES:
            language(code)

    def asset(self, name: str) -> Asset | None:
        """What `/-/assets/{name}` serves. Cache it for a year."""
        return self._by_name.get(name) or brand_asset_named(name)

    def gate(
        self,
        gate: Gate,
        look: Look,
        *,
        base: str,
        problem: str | None = None,
        email: str | None = None,
    ) -> str:
        """The page that asks for what `gate` needs.

        `base` is the portal URL's path, which the forms post below. `problem` is a sentence on
        the last try; `email` the address that a code was asked for.
        """
        reason = _REASON_OF_GATE[gate]
        return self._render(
            gate.value, look, SYMBOL_OF[reason], words=words_in(look.spoken, reason),
            base=base, problem=problem, email=email,
        )  # fmt: skip

    def refusal(
        self,
        reason: Reason,
        look: Look,
        *,
        detail: str = "",
        retry_after: int | None = None,
        landing: str | None = None,
        again: str | None = None,
    ) -> str:
        """The page for a request that is not let through: what happened, and what to do next.

        `detail` stands instead of the reason's own sentence. `landing`, the path of the link's
        first page, is offered as the way back where the visitor has a session; `again` is where
        the visitor can try once more.
        """
        happened = error_sentence(reason, detail, spoken=look.spoken)
        if reason is Reason.EXPIRED and look.link is not None:
            happened = expiry_sentence(look.spoken, look.link) or happened
        wait = None if retry_after is None else wait_sentence(retry_after, look.spoken)
        return self._render(
            "refused", look, SYMBOL_OF[reason], words=words_in(look.spoken, reason), reason=reason.value,
            happened=happened, wait=wait, landing=landing, again=again,
        )  # fmt: skip

    def left(self, look: Look) -> str:
        """The page after the visitor ended the session."""
        return self._render("left", look, SYMBOL_OF[None])

    def policy(self, look: Look) -> str:
        """The `Content-Security-Policy` of a page with this look."""
        style = None if look.host_is_ours else self._assets["portal.css"].body
        return content_security_policy(look.link, style)

    def _render(self, name: str, look: Look, symbol: str, **values: object) -> str:
        branding = look.link.branding if look.link is not None else _NO_BRANDING
        color, logo_url = branding.brand_color, branding.logo_url
        logo = self._logo_name(logo_url) if logo_url is not None else None
        sheet = self._assets["portal.css"]
        return self._templates[name].render(
            spoken=look.spoken,
            stylesheet=sheet.path if look.host_is_ours else None,
            style=None if look.host_is_ours else Markup(sheet.body.decode()),  # noqa: S704 - our own file
            brand=brand_asset(color).path if color is not None and is_color(color) else None,
            icon=self._assets["icon.svg"].path,
            logo=None if logo is None else ASSETS_PATH + logo,
            symbol=symbol,
            footer=branding.footer_text,
            **values,
        )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gateway.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_callables(  # type: ignore[attr-defined]  # the extension adds it
        _gettext, _ngettext, newstyle=True
    )
    return environment


@pass_context
def _gettext(context: TemplateContext, message: str) -> str:
    spoken: Language = context["spoken"]
    return spoken.gettext(message)


@pass_context
def _ngettext(context: TemplateContext, singular: str, plural: str, number: int) -> str:
    spoken: Language = context["spoken"]
    return spoken.ngettext(singular, plural, number)


__all__ = ["ASSETS_PATH", "Asset", "Look", "Pages", "error_sentence"]
