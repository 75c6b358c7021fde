"""The gateway's own pages: every gate and reason renders, and nothing gets out or in by them."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from gateway.languages import CODES, Language, language
from gateway.links.model import Branding, Link, LinkType
from gateway.links.verdict import Gate, Reason
from gateway.pages import Look, Pages, error_sentence
from gateway.pages.sentences import ENGLISH, wait_sentence, words_in
from gateway.pages.static import brand_asset
from gateway.pages.style import CARDS, brand_style, content_security_policy
from gateway.pages.symbols import SYMBOL_OF
from gateway.pages.texts import WORDS

BASE = "/workorder/wpl_x"
HOSTILE = "\"'><script>alert(1)</script>{{ 7 * 7 }}"
REFUSALS = sorted(set(Reason) - {Reason.OK})
VOID = {"meta", "link", "input", "br", "img"}


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


def every_page(pages: Pages, link: Link | None, spoken: Language = ENGLISH) -> dict[str, str]:
    """Each page with everything on it that can be on it."""
    look = Look(spoken, link)
    made = {
        f"gate {gate}": pages.gate(gate, look, base=BASE, problem=HOSTILE, email=HOSTILE)
        for gate in Gate
    }
    for reason in REFUSALS:
        made[f"refusal {reason}"] = pages.refusal(
            reason, look, detail=HOSTILE, retry_after=90, landing="/workorders/W"
        )
    made["try again"] = pages.refusal(Reason.UPSTREAM_UNAVAILABLE, look, again=BASE)
    made["foreign host"] = pages.refusal(Reason.MISDIRECTED, Look(spoken, host_is_ours=False))
    made["left"] = pages.left(look)
    return made


def test_every_reason_has_its_words() -> None:
    assert set(WORDS) == set(REFUSALS)
    for words in WORDS.values():
        assert not words.heading.endswith(".")
        # One sentence, because it is the JSON answer's `error`.
        assert re.fullmatch(r"[A-Z][^.!?]*\.", words.happened)
        assert words.advice != ()
        for sentence in words.advice:
            assert re.fullmatch(r"[A-Z][^.!?]*\.", sentence)


def test_every_page_has_its_symbol(pages: Pages) -> None:
    assert set(SYMBOL_OF) == {*REFUSALS, None}
    for name, html in every_page(pages, None).items():
        assert Document.read(html).one("svg")["aria-hidden"] == "true", name
        assert re.search(r"<svg [^>]*>\s*<(rect|path|circle)", html), name


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


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("with_link", [True, False])
def test_every_page_is_whole(pages: Pages, with_link: bool, code: str) -> None:
    link = link_with(footer_text="Alder & Quay") if with_link else None
    for name, html in every_page(pages, link, language(code)).items():
        document = Document.read(html)
        root = document.one("html")
        assert (root["lang"], root["dir"]) == (code, "rtl" if code == "ar" else "ltr"), name
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
    document = Document.read(pages.gate(gate, Look(), base=BASE, email="anna@v.example"))
    assert document.one("form", action=f"{BASE}/-/{action}")["method"] == "post"
    if input_ is None:
        assert document.all("input") == []
        assert len(document.all("button")) == 1
    else:
        assert "required" in document.one("input", **input_)
    assert document.all("style") == []


def test_the_code_page_lets_send_a_new_code_or_name_another_address(pages: Pages) -> None:
    document = Document.read(pages.gate(Gate.CODE, Look(), base=BASE, email="anna@v.example"))
    assert document.one("form", action=f"{BASE}/-/email")["method"] == "post"
    assert document.one("input", name="email")["value"] == "anna@v.example"


@pytest.mark.parametrize("gate", [Gate.PASSWORD, Gate.EMAIL, Gate.CODE])
def test_a_problem_is_tied_to_its_field(pages: Pages, gate: Gate) -> None:
    html = pages.gate(gate, Look(), base=BASE, problem="That is not right.")
    document = Document.read(html)
    assert "Error: " in document.text
    assert document.one("p", id="problem")["role"] == "alert"
    field_ = document.one("input", **{"aria-invalid": "true"})
    assert field_["aria-describedby"] == "problem hint"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("reason", REFUSALS)
def test_refusal(pages: Pages, reason: Reason, code: str) -> None:
    """Every word of the reason's row is on the page, in the visitor's language."""
    spoken = language(code)
    text = Document.read(pages.refusal(reason, Look(spoken))).text
    words = words_in(spoken, reason)
    for part in (words.heading, words.happened, *words.advice, reason.value):
        assert part in text
    assert (words == WORDS[reason]) is (code == "en")


def test_a_refusal_shows_detail_time_and_the_way_back(pages: Pages) -> None:
    html = pages.refusal(
        Reason.OVERLOADED, Look(), detail="So it is.", retry_after=1, landing="/workorders/W"
    )
    document = Document.read(html)
    assert "So it is. Try again in 1 second." in document.text
    assert WORDS[Reason.OVERLOADED].happened not in document.text
    assert document.one("a")["href"] == "/workorders/W"


@pytest.mark.parametrize(
    ("reason", "words"),
    [(Reason.THROTTLED, "Back to the form"), (Reason.UPSTREAM_TIMEOUT, "Try again")],
)
def test_what_is_over_by_itself_has_a_way_to_go_on(
    pages: Pages, reason: Reason, words: str
) -> None:
    document = Document.read(pages.refusal(reason, Look(), again=BASE))
    assert document.one("a")["href"] == BASE
    assert words in document.text


@pytest.mark.parametrize(
    ("code", "moment"),
    [("en", "November 14, 2023"), ("de", "14. November 2023"), ("ar", "14 نوفمبر 2023")],
)
def test_an_expired_link_says_until_when(pages: Pages, code: str, moment: str) -> None:
    expired = Link("0" * 24, b"\1" * 32, "WO-1042", expires_at=1_700_000_000.0)
    html = pages.refusal(Reason.EXPIRED, Look(language(code), expired))
    assert moment in Document.read(html).text
    without = pages.refusal(Reason.EXPIRED, Look(language(code), link_with()))
    assert words_in(language(code), Reason.EXPIRED).happened in Document.read(without).text


def test_on_a_foreign_host_the_page_needs_no_other_answer(pages: Pages) -> None:
    look = Look(host_is_ours=False)
    document = Document.read(pages.refusal(Reason.MISDIRECTED, look))
    assert document.all("link") == []
    assert "--ground" in document.styles
    assert "&#" not in document.styles
    digest = base64.b64encode(hashlib.sha256(document.styles.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}';" in pages.policy(look)


def test_the_link_colour_comes_as_a_sheet_of_its_own(pages: Pages) -> None:
    document = Document.read(pages.left(Look(link=link_with(brand_color="#0B6E4F"))))
    assert document.all("style") == []
    sheet = brand_asset("#0b6e4f")
    assert {"rel": "stylesheet", "href": sheet.path} in document.all("link")
    assert pages.asset(sheet.name) == sheet
    assert sheet.body.decode() == (
        ":root{--brand:#0b6e4f;--on-brand:#ffffff;--brand-text:#0b6e4f}"
        "@media (prefers-color-scheme:dark)"
        "{:root{--brand:#187659;--on-brand:#ffffff;--brand-text:#47927a}}"
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("brand-0b6e4f.0000000000000000.css", id="another version's"),
        pytest.param("brand-0B6E4F.css", id="no hash"),
        pytest.param("brand-red.0000000000000000.css", id="no colour"),
        pytest.param("../texts.py", id="another file"),
        pytest.param("portal.css", id="its plain name"),
        pytest.param("", id="nothing"),
    ],
)
def test_nothing_else_is_served(pages: Pages, name: str) -> None:
    assert pages.asset(name) is None


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
    with pytest.raises(ValueError):
        brand_style(color)
    html = pages.left(Look(link=link_with(brand_color=color)))
    assert len(Document.read(html).all("link")) == 2


def test_the_logo_comes_from_here_or_not_at_all() -> None:
    url = "https://cdn.example/logo.png"
    link = link_with(logo_url=url)
    pages = Pages({url: "logo-1"}.get)
    image = Document.read(pages.left(Look(link=link))).one("img")
    assert (image["src"], image["alt"]) == ("/-/assets/logo-1", "")
    assert "<img" not in Pages({}.get).left(Look(link=link))


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
        directive.split(" ", 1) for directive in content_security_policy(link).split("; ")
    )
    expected = {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
    }
    assert policy == expected | ({"frame-ancestors": framing} if framing else {})


def test_the_sheet_has_the_grounds_that_colours_are_adjusted_to(pages: Pages) -> None:
    (name,) = [
        a["href"] for a in Document.read(pages.left(Look())).all("link") if a["rel"] == "stylesheet"
    ]
    sheet = pages.asset((name or "").removeprefix("/-/assets/"))
    assert sheet is not None
    assert tuple(re.findall(r"--card: (#\w+);", sheet.body.decode())) == CARDS


def test_assets_are_named_by_their_content(pages: Pages) -> None:
    html = pages.left(Look(link=link_with(brand_color="#0b6e4f")))
    referred = [each["href"] or "" for each in Document.read(html).all("link")]
    assert len(referred) == 3
    for path in referred:
        asset = pages.asset(path.removeprefix("/-/assets/"))
        assert asset is not None
        assert re.fullmatch(r"[a-z0-9-]+\.[0-9a-f]{16}\.(css|svg)", asset.name)
        assert asset.content_type in {"text/css; charset=utf-8", "image/svg+xml"}
        assert b"url(" not in asset.body
        assert b"@import" not in asset.body


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


@pytest.mark.parametrize(
    ("code", "seconds", "sentence"),
    [
        ("de", 60, "Versuchen Sie es in 1 Minute noch einmal."),
        ("de", 61, "Versuchen Sie es in 2 Minuten noch einmal."),
        ("fr", 1, "Réessayez dans 1 seconde."),
        ("es", 7200, "Inténtelo de nuevo dentro de 2 horas."),
        ("ar", 60, "يُرجى المحاولة مرة أخرى بعد دقيقة واحدة."),
        ("ar", 120, "يُرجى المحاولة مرة أخرى بعد دقيقتين."),
        ("ar", 180, "يُرجى المحاولة مرة أخرى بعد 3 دقائق."),
        ("ar", 660, "يُرجى المحاولة مرة أخرى بعد 11 دقيقة."),
    ],
)
def test_wait_sentences_in_other_languages(code: str, seconds: int, sentence: str) -> None:
    assert wait_sentence(seconds, language(code)) == sentence


def test_error_sentence() -> None:
    assert error_sentence(Reason.EXPIRED) == WORDS[Reason.EXPIRED].happened
    assert error_sentence(Reason.BAD_REQUEST, "The path is odd.") == "The path is odd."
    assert error_sentence(Reason.THROTTLED, retry_after=60).endswith("Try again in 1 minute.")
    with pytest.raises(KeyError):
        error_sentence(Reason.OK)


def test_a_detail_that_is_not_translated_is_for_english_alone() -> None:
    german = language("de")
    detail = "The 'Host' header has to name one host."
    assert error_sentence(Reason.BAD_REQUEST, detail) == detail
    told = error_sentence(Reason.BAD_REQUEST, detail, spoken=german)
    assert told == words_in(german, Reason.BAD_REQUEST).happened
    assert error_sentence(Reason.PASSWORD_REQUIRED, "Enter the password.", spoken=german) == (
        "Geben Sie das Passwort ein."
    )
