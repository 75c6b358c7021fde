"""The gateway's own pages: the gates, the refusals, and the one that says goodbye.

texts   the words for every reason, for pages and JSON alike
style   what a page may load, and a link's colour
static  the style sheet and the icon

Plain HTML that works without script. Nothing is loaded from another site, a link's logo neither:
its server would learn each visitor's address before a rule has let them in.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gateway.links.model import Link
from gateway.links.verdict import Gate, Reason
from gateway.pages.static import Asset, load_assets
from gateway.pages.style import brand_style, content_security_policy, new_nonce
from gateway.pages.texts import WORDS, error_sentence, wait_sentence

_REASON_OF_GATE = {
    Gate.PASSWORD: Reason.PASSWORD_REQUIRED,
    Gate.EMAIL: Reason.EMAIL_REQUIRED,
    Gate.CODE: Reason.CODE_REQUIRED,
    Gate.CONFIRM: Reason.CONFIRM_REQUIRED,
}


class Pages:
    """Renders pages; templates and assets are read once, when it is made.

    `nonce` is from `new_nonce`, and the same one goes into `content_security_policy`.
    """

    def __init__(self) -> None:
        self._assets = load_assets()
        environment = Environment(
            loader=PackageLoader("gateway.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates = {
            name: environment.get_template(f"{name}.html.j2")
            for name in (*(gate.value for gate in Gate), "refused", "left")
        }

    def assets(self) -> dict[str, tuple[str, bytes]]:
        """What `/-/assets/{name}` serves: name to content type and body. Cache it for a year."""
        return {a.name: (a.content_type, a.body) for a in self._assets.values()}

    def asset(self, name: str) -> Asset:
        """One asset by its plain name (`icon.svg`). Raises KeyError."""
        return self._assets[name]

    def gate(
        self,
        gate: Gate,
        *,
        base: str,
        nonce: str,
        link: Link | None,
        problem: str | None = None,
        email: str | None = None,
        retry_after: int | None = None,
    ) -> str:
        """The page that asks for what `gate` needs.

        `base` is the portal URL's path, which the forms post below. `problem` is a sentence on
        the last try; `email` the address that a code was asked for; `retry_after`, in seconds,
        says when the next try is possible.
        """
        if retry_after is not None:
            problem = error_sentence(Reason.THROTTLED, problem or "", retry_after)
        return self._render(
            gate.value,
            nonce,
            link,
            words=WORDS[_REASON_OF_GATE[gate]],
            base=base,
            problem=problem,
            email=email,
        )

    def refusal(
        self,
        reason: Reason,
        *,
        nonce: str,
        link: Link | None = None,
        detail: str = "",
        retry_after: int | None = None,
        host_is_ours: bool = True,
        landing: str | None = None,
    ) -> str:
        """The page for a request that is not let through: what happened, and what to do next.

        `detail` stands instead of the reason's own sentence. `landing`, the path of the link's
        first page, is offered as the way back where the visitor has a session. On a host that is
        not ours nothing but this page is answered, so the page then brings its style along.
        """
        return self._render(
            "refused",
            nonce,
            link,
            own_host=host_is_ours,
            words=WORDS[reason],
            reason=reason.value,
            detail=detail,
            wait=None if retry_after is None else wait_sentence(retry_after),
            landing=landing,
        )

    def left(self, link: Link | None, *, nonce: str) -> str:
        """The page after the visitor ended the session."""
        return self._render("left", nonce, link)

    def _render(
        self, name: str, nonce: str, link: Link | None, *, own_host: bool = True, **values: object
    ) -> str:
        branding = link.branding if link is not None else None
        style = brand_style(branding.brand_color if branding else None)
        if not own_host:
            style = Markup(self._assets["portal.css"].body.decode()) + style  # noqa: S704 - our own file
        return self._templates[name].render(
            stylesheet=self._assets["portal.css"].path if own_host else None,
            icon=self._assets["icon.svg"].path,
            nonce=nonce,
            style=style,
            footer=branding.footer_text if branding else None,
            **values,
        )


__all__ = ["Pages", "content_security_policy", "error_sentence", "new_nonce"]
