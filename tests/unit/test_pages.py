"""The gateway's own pages: every gate and reason renders, and nothing gets out or in by them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from gateway.links.model import Branding, Link, LinkType
from gateway.links.verdict import Gate, Reason
from gateway.pages import Pages, content_security_policy, error_sentence, new_nonce
from gateway.pages.style import brand_style, relative_luminance, text_color
from gateway.pages.texts import WORDS, wait_sentence

BASE = "/workorder/wpl_x"
NONCE = "A" * 22
HOSTILE = "\"'><script>alert(1)</script>{{ 7 * 7 }}"
REFUSALS = sorted(set(Reason) - {Reason.OK})
VOID = {"meta", "link", "input", "br"}


def link_with(link_type: LinkType = LinkType.PRIVATE, **branding: str) -> Link:
    return Link("0" * 24, b"\1" * 32, "WO-1042", link_type, branding=Branding(**branding))


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages()


@dataclass
class Document(HTMLParser):
    """A page, read by a parser: its elements with their attributes, its text, its styles."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open_tags: list[str] = field(default_factory=list)
    text: str = ""
    styles: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def read(cls, html: str) -> Document:
        document = cls()
        document.feed(html)
        document.close()
        assert document.open_tags == [], "every element is closed"
        return document

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open_tags and self.open_tags[-1] == "style":
            self.styles += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def one(self, tag: str, **wanted: str) -> dict[str, str | None]:
        """The one element `tag` that has these attributes."""
        (found,) = [a for a in self.all(tag) if wanted.items() <= a.items()]
        return found


def every_page(pages: Pages, link: Link | None) -> dict[str, str]:
    """Each page with everything on it that can be on it."""
    made = {
        f"gate {gate}": pages.gate(
            gate, base=BASE, nonce=NONCE, link=link, problem=HOSTILE, email=HOSTILE
        )
        for gate in Gate
    }
    for reason in REFUSALS:
        made[f"refusal {reason}"] = pages.refusal(
            reason, nonce=NONCE, link=link, detail=HOSTILE, retry_after=90, landing="/workorders/W"
        )
    made["foreign host"] = pages.refusal(Reason.MISDIRECTED, nonce=NONCE, host_is_ours=False)
    made["left"] = pages.left(link, nonce=NONCE)
    return made


def test_every_reason_has_its_words() -> None:
    assert set(WORDS) == set(REFUSALS)
    for words in WORDS.values():
        assert not words.heading.endswith(".")
        # One sentence, because it is the JSON answer's `error`.
        assert re.fullmatch(r"[A-Z][^.!?]*\.", words.happened)
        assert words.advice.endswith(".")


@pytest.mark.parametrize("hostile_field", ["footer_text", "brand_color", "logo_url"])
def test_no_page_runs_or_loads_what_it_should_not(pages: Pages, hostile_field: str) -> None:
    for name, html in every_page(pages, link_with(**{hostile_field: HOSTILE})).items():
        document = Document.read(html)
        assert document.all("script") == [], name
        for tag, attributes in document.elements:
            assert "style" not in attributes, (name, tag)
            assert not any(key.startswith("on") for key in attributes), (name, tag)
            for key in ("href", "src", "action"):
                if key in attributes:
                    assert re.match(r"/(?!/)", attributes[key] or ""), (name, tag, attributes)
        assert "//" not in html.replace("http://www.w3.org", ""), name
        assert "url(" not in document.styles, name
        assert "49" not in html, name


@pytest.mark.parametrize("with_link", [True, False])
def test_every_page_is_whole(pages: Pages, with_link: bool) -> None:
    link = link_with(footer_text="Alder & Quay") if with_link else None
    for name, html in every_page(pages, link).items():
        document = Document.read(html)
        assert document.one("html")["lang"] == "en", name
        assert "width=device-width" in (document.one("meta", name="viewport")["content"] or "")
        assert len(document.all("main")) == len(document.all("h1")) == 1, name
        assert html.count("<title>") == 1, name
        labelled = {label["for"] for label in document.all("label")}
        assert labelled == {each["id"] for each in document.all("input")}, name
        ids = [a["id"] for _, a in document.elements if "id" in a]
        assert len(ids) == len(set(ids)), name
        for each in document.all("input"):
            assert set((each.get("aria-describedby") or "").split()) <= set(ids), name
        # The link is not told apart before its gates are passed.
        assert "WO-1042" not in html, name
        assert ("Alder & Quay" in document.text) is (with_link and name != "foreign host"), name


@pytest.mark.parametrize(
    ("gate", "action", "input_"),
    [
        pytest.param(
            Gate.PASSWORD,
            "password",
            {"name": "password", "type": "password", "autocomplete": "current-password"},
            id="password",
        ),
        pytest.param(
            Gate.EMAIL,
            "email",
            {"name": "email", "type": "email", "autocomplete": "email", "value": "anna@v.example"},
            id="email",
        ),
        pytest.param(
            Gate.CODE,
            "code",
            {"name": "code", "inputmode": "numeric", "autocomplete": "one-time-code"},
            id="code",
        ),
        pytest.param(Gate.CONFIRM, "open", None, id="confirm"),
    ],
)
def test_gate(pages: Pages, gate: Gate, action: str, input_: dict[str, str] | None) -> None:
    document = Document.read(
        pages.gate(gate, base=BASE, nonce=NONCE, link=None, email="anna@v.example")
    )
    assert document.one("form", action=f"{BASE}/-/{action}")["method"] == "post"
    if input_ is None:
        assert document.all("input") == []
        assert len(document.all("button")) == 1
    else:
        assert "required" in document.one("input", **input_)
    assert document.all("style") == []


def test_the_code_page_lets_send_a_new_code_or_name_another_address(pages: Pages) -> None:
    document = Document.read(
        pages.gate(Gate.CODE, base=BASE, nonce=NONCE, link=None, email="anna@v.example")
    )
    assert document.one("form", action=f"{BASE}/-/email")["method"] == "post"
    assert document.one("input", name="email")["value"] == "anna@v.example"


@pytest.mark.parametrize("gate", [Gate.PASSWORD, Gate.EMAIL, Gate.CODE])
def test_a_problem_is_tied_to_its_field(pages: Pages, gate: Gate) -> None:
    html = pages.gate(gate, base=BASE, nonce=NONCE, link=None, problem="That is not right.")
    document = Document.read(html)
    assert "Error: " in document.text
    assert document.one("p", id="problem")["role"] == "alert"
    field_ = document.one("input", **{"aria-invalid": "true"})
    assert field_["aria-describedby"] == "problem hint"


def test_a_throttled_gate_says_how_long(pages: Pages) -> None:
    html = pages.gate(Gate.PASSWORD, base=BASE, nonce=NONCE, link=None, retry_after=125)
    assert "There were too many tries. Try again in 3 minutes." in Document.read(html).text


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusal(pages: Pages, reason: Reason) -> None:
    text = Document.read(pages.refusal(reason, nonce=NONCE)).text
    words = WORDS[reason]
    for part in (words.heading, words.happened, words.advice, reason.value):
        assert part in text


def test_a_refusal_shows_detail_time_and_the_way_back(pages: Pages) -> None:
    html = pages.refusal(
        Reason.OVERLOADED, nonce=NONCE, detail="So it is.", retry_after=1, landing="/workorders/W"
    )
    document = Document.read(html)
    assert "So it is. Try again in 1 second." in document.text
    assert WORDS[Reason.OVERLOADED].happened not in document.text
    assert document.one("a")["href"] == "/workorders/W"


def test_on_a_foreign_host_the_page_needs_no_other_answer(pages: Pages) -> None:
    html = pages.refusal(Reason.MISDIRECTED, nonce=NONCE, host_is_ours=False)
    document = Document.read(html)
    assert document.all("link") == []
    assert document.one("style")["nonce"] == NONCE
    assert "--ground" in document.styles
    assert "&#" not in document.styles


def test_the_link_colour_comes_with_the_nonce(pages: Pages) -> None:
    document = Document.read(pages.left(link_with(brand_color="#FFd400"), nonce=NONCE))
    assert document.one("style")["nonce"] == NONCE
    assert document.styles == ":root{--brand:#FFd400;--on-brand:#000000}"


@pytest.mark.parametrize(
    "color",
    [
        "red",
        "#fff",
        "#12345g",
        "#1234567",
        "#123456\n",
        "#123456;}",
        "</style>",
        "",
        "#１２３４５６",
    ],
)
def test_a_bad_colour_is_no_colour(pages: Pages, color: str) -> None:
    assert brand_style(color) == ""
    assert "<style" not in pages.left(link_with(brand_color=color), nonce=NONCE)


@pytest.mark.parametrize(
    ("color", "text"),
    [
        pytest.param("#000000", "#ffffff", id="black"),
        pytest.param("#ffffff", "#000000", id="white"),
        pytest.param("#ffd400", "#000000", id="yellow"),
        pytest.param("#0b5cad", "#ffffff", id="blue"),
        pytest.param("#757575", "#ffffff", id="just dark enough"),
        pytest.param("#767676", "#000000", id="just light enough"),
    ],
)
def test_text_color(color: str, text: str) -> None:
    assert text_color(color) == text


def test_text_is_readable_on_every_colour() -> None:
    shades = [f"{shade:02x}" for shade in range(0, 256, 15)]
    for color in (f"#{r}{g}{b}" for r in shades for g in shades for b in shades):
        lighter, darker = sorted(
            (relative_luminance(color), relative_luminance(text_color(color))), reverse=True
        )
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, color


@pytest.mark.parametrize(
    ("link", "framing"),
    [
        pytest.param(None, "'self'", id="no link"),
        pytest.param(link_with(LinkType.PUBLIC), None, id="public"),
        pytest.param(link_with(LinkType.PRIVATE), "'self'", id="private"),
        pytest.param(link_with(LinkType.SECURE), "'self'", id="secure"),
    ],
)
def test_content_security_policy(link: Link | None, framing: str | None) -> None:
    policy = dict(
        directive.split(" ", 1) for directive in content_security_policy(NONCE, link).split("; ")
    )
    expected = {
        "default-src": "'none'",
        "style-src": f"'self' 'nonce-{NONCE}'",
        "img-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
    }
    assert policy == expected | ({"frame-ancestors": framing} if framing else {})


@pytest.mark.parametrize("nonce", ["", "short", "A" * 22 + "'", "A" * 16 + "; script-src *"])
def test_a_nonce_cannot_widen_the_policy(nonce: str) -> None:
    with pytest.raises(ValueError):
        content_security_policy(nonce, None)


def test_nonces_differ_and_fit() -> None:
    nonces = {new_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(content_security_policy(nonce, None) for nonce in nonces)


def test_assets_are_named_by_their_content(pages: Pages) -> None:
    assets = pages.assets()
    assert {content_type for content_type, _ in assets.values()} == {
        "text/css; charset=utf-8",
        "image/svg+xml",
    }
    for name, (_, body) in assets.items():
        assert re.fullmatch(r"[a-z]+\.[0-9a-f]{16}\.(css|svg)", name)
        assert b"url(" not in body
        assert b"@import" not in body
    referred = {each["href"] for each in Document.read(pages.left(None, nonce=NONCE)).all("link")}
    assert referred == {f"/-/assets/{name}" for name in assets}


@pytest.mark.parametrize(
    ("seconds", "sentence"),
    [
        (0, "Try again in 1 second."),
        (1, "Try again in 1 second."),
        (59, "Try again in 59 seconds."),
        (60, "Try again in 1 minute."),
        (61, "Try again in 2 minutes."),
        (3540, "Try again in 59 minutes."),
        (3541, "Try again in 1 hour."),
        (3601, "Try again in 2 hours."),
    ],
)
def test_wait_sentence(seconds: int, sentence: str) -> None:
    assert wait_sentence(seconds) == sentence


def test_error_sentence() -> None:
    assert error_sentence(Reason.EXPIRED) == WORDS[Reason.EXPIRED].happened
    assert error_sentence(Reason.BAD_REQUEST, "The path is odd.") == "The path is odd."
    assert error_sentence(Reason.THROTTLED, retry_after=60).endswith("Try again in 1 minute.")
    with pytest.raises(KeyError):
        error_sentence(Reason.OK)
