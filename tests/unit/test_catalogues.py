"""Every sentence for visitors is marked, is in every catalogue, and is translated."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po
from jinja2 import Environment, nodes

from gateway.languages import CODES, language

ROOT = Path(__file__).resolve().parents[2]
CATALOGUES = ROOT / "gateway" / "languages" / "catalogues"
TRANSLATED = [code for code in CODES if code != "en"]
# Templates whose words are for visitors; the demo's are the invented system's own.
TEMPLATES = sorted(path for path in (ROOT / "gateway").rglob("*.j2") if "demo" not in path.parts)
_PLACEHOLDER = re.compile(r"%\((\w+)\)[a-z]")
_ATTRIBUTE = re.compile(r'\baria-(?:describedby|invalid)="[^"]*"')
_SPOKEN_ATTRIBUTES = {"title", "alt", "placeholder", "aria-label", "aria-description"}
# Words that are the same in every language.
_NAMES = {"·"}


@cache
def extracted() -> Catalog:
    """What `make messages` finds in the code and the templates."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["babel"]["mappings"]
    catalog = Catalog()
    for _, _, message, _, context in extract_from_dir(
        ROOT / "gateway",
        [(row["pattern"], row["method"]) for row in settings],
        {row["pattern"]: row for row in settings},
        keywords=DEFAULT_KEYWORDS,
    ):
        catalog.add(message, context=context)
    return catalog


@cache
def catalogue(code: str) -> Catalog:
    with (CATALOGUES / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


def messages(catalog: Catalog) -> Iterator[Message]:
    """All but the header."""
    return (message for message in catalog if message.id)


def forms(message: Message) -> list[str]:
    return list(message.string) if isinstance(message.string, tuple) else [message.string]


def key(message: Message) -> object:
    return message.id[0] if isinstance(message.id, tuple) else message.id


def test_there_are_messages() -> None:
    found = {key(message) for message in messages(extracted())}
    assert "This link has expired" in found, "from a table in Python"
    assert "Back to the work order" in found, "from a template"
    assert "Try again in %(count)d hour." in found, "with a plural"


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_holds_exactly_what_is_said(code: str) -> None:
    wanted = {key(message) for message in messages(extracted())}
    held = {key(message) for message in messages(catalogue(code))}
    assert wanted - held == set(), "run `make messages`, and translate what is new"
    assert held - wanted == set(), "nobody says this any more: run `make messages`"
    assert catalogue(code).obsolete == {}


@pytest.mark.parametrize("code", TRANSLATED)
def test_everything_is_translated(code: str) -> None:
    faults = [
        key(message)
        for message in messages(catalogue(code))
        if message.fuzzy or not all(form.strip() for form in forms(message))
    ]
    assert faults == []


@pytest.mark.parametrize("code", TRANSLATED)
def test_placeholders_are_kept(code: str) -> None:
    for message in messages(catalogue(code)):
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        wanted = {name for text in ids for name in _PLACEHOLDER.findall(text)}
        for index, form in enumerate(forms(message)):
            found = _PLACEHOLDER.findall(form)
            # "In two minutes" needs no number where a form is for one number alone.
            one_number = isinstance(message.id, tuple) and len(numbers_of(code, index)) == 1
            assert set(found) == wanted or (one_number and not found), (key(message), form)
            assert len(found) == len(set(found)), form
            assert form.count("%") == len(found), form


def numbers_of(code: str, form: int) -> list[int]:
    """The numbers up to 1000 that are told in this plural form."""
    # The standard library's own reading of `Plural-Forms` is what chooses at run time.
    plural = language(code).catalogue.plural  # type: ignore[attr-defined]  # set by GNUTranslations
    return [number for number in range(1001) if plural(number) == form]


@pytest.mark.parametrize(("code", "count"), [("ar", 6), ("de", 2), ("es", 2), ("fr", 2)])
def test_plural_forms(code: str, count: int) -> None:
    assert catalogue(code).num_plurals == count
    for message in messages(catalogue(code)):
        if isinstance(message.id, tuple):
            assert len(forms(message)) == count
    for form in range(count):
        assert numbers_of(code, form) != []


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_sentence_stays_a_sentence(code: str) -> None:
    """A full stop, a question mark or a colon at the end is there in the translation, too."""
    ends = {".": ".", "?": "?؟", ":": ":"}
    for message in messages(catalogue(code)):
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        for form in forms(message):
            if (end := ids[-1][-1]) in ends:
                assert form[-1] in ends[end], form
            else:
                assert form[-1] not in ".:", form
            assert form == form.strip()


def test_the_catalogues_are_as_make_messages_leaves_them() -> None:
    """Sorted, without line numbers: a change of code moves nothing but its own messages."""
    for code in TRANSLATED:
        lines = (CATALOGUES / f"{code}.po").read_text().splitlines()
        assert not any(line.startswith("#:") for line in lines)
        ids = [str(key(message)) for message in messages(catalogue(code))]
        assert ids == sorted(ids)


class _Text(HTMLParser):
    """Collects what a browser would show or read out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.found.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in _SPOKEN_ATTRIBUTES]


def spoken_in(source: str) -> set[str]:
    """The words in a template that no translation can reach."""
    environment = Environment(extensions=["jinja2.ext.i18n"], autoescape=True)
    environment.newstyle_gettext = True  # type: ignore[attr-defined]  # the extension adds it
    tree = environment.parse(source)
    html, constants = "", []
    for output in tree.find_all(nodes.Output):
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                html += node.data
            else:
                constants += _unmarked_constants(node)
    parser = _Text()
    parser.feed(html)
    # A macro may make attributes, which stand outside of any tag there.
    texts = {_ATTRIBUTE.sub("", text).strip() for text in (*parser.found, *constants)}
    return {text for text in texts if re.search(r"[^\W\d_]", text)} - _NAMES


def _unmarked_constants(node: nodes.Node) -> list[str]:
    """Strings that an expression shows, without those that a call of gettext translates."""
    if isinstance(node, nodes.Call):
        return []
    if isinstance(node, nodes.Compare | nodes.Getitem | nodes.Filter):
        return [
            c for child in node.iter_child_nodes(only=["node"]) for c in _unmarked_constants(child)
        ]
    if isinstance(node, nodes.CondExpr):
        shown = [child for child in (node.expr1, node.expr2) if child is not None]
        return [c for child in shown for c in _unmarked_constants(child)]
    if isinstance(node, nodes.Const):
        return [node.value] if isinstance(node.value, str) else []
    return [c for child in node.iter_child_nodes() for c in _unmarked_constants(child)]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_says_nothing_that_is_not_marked(path: Path) -> None:
    assert spoken_in(path.read_text()) == set()


@pytest.mark.parametrize(
    ("source", "spoken"),
    [
        pytest.param("<p>Hello</p>", {"Hello"}, id="a bare text"),
        pytest.param('<img alt="A boiler">', {"A boiler"}, id="an attribute"),
        pytest.param('{{ "Oh" if bad else words }}', {"Oh"}, id="an expression"),
        pytest.param("<p>{% if a %}Hello{% endif %}</p>", {"Hello"}, id="in a block"),
        pytest.param('<p>{{ _("Hello") }}</p>', set(), id="marked"),
        pytest.param("<p>{% trans %}Hello{% endtrans %}</p>", set(), id="a marked block"),
        pytest.param('<p class="hint">{{ words }} 42</p>', set(), id="nothing to translate"),
    ],
)
def test_what_is_not_marked_is_found(source: str, spoken: set[str]) -> None:
    assert spoken_in(source) == spoken
