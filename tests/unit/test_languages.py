"""Which language a visitor is spoken to in, and that each of them can be had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.languages import CODES, language, negotiate
from gateway.languages.negotiation import preferred


@pytest.mark.parametrize(
    ("header", "code"),
    [
        pytest.param("", "en", id="none said"),
        pytest.param("de", "de", id="one"),
        pytest.param("de-AT", "de", id="a region"),
        pytest.param("AR-eg", "ar", id="case does not matter"),
        pytest.param("nl, fr;q=0.8, es;q=0.9", "es", id="by weight"),
        pytest.param("fr;q=0.5, de;q=0.5", "fr", id="the first of equals"),
        pytest.param("fr;q=0", "en", id="not wanted"),
        pytest.param("nl", "en", id="none of ours"),
        pytest.param("*", "en", id="any"),
        pytest.param("fr;q=9, de", "de", id="a bad weight"),
        pytest.param("\x00, es", "es", id="rubbish beside one"),
    ],
)
def test_the_language_that_is_wanted_most(header: str, code: str) -> None:
    assert preferred(header) == code


@given(st.text())
def test_any_header_leads_to_a_language(header: str) -> None:
    assert preferred(header) in CODES


def test_without_a_header_it_is_english() -> None:
    assert negotiate(None).code == "en"


@pytest.mark.parametrize(
    ("code", "direction"),
    [("en", "ltr"), ("ar", "rtl"), ("de", "ltr"), ("es", "ltr"), ("fr", "ltr")],
)
def test_each_language_has_its_direction(code: str, direction: str) -> None:
    assert language(code).direction == direction


def test_an_untranslated_message_stays_as_it_is() -> None:
    assert language("de").gettext("no such message") == "no such message"
    assert language("en").ngettext("%d day", "%d days", 1) == "%d day"
    assert language("en").ngettext("%d day", "%d days", 2) == "%d days"


def test_another_language_is_not_there() -> None:
    with pytest.raises(KeyError):
        language("xx")


def test_a_moment_is_written_as_it_is_there() -> None:
    assert language("en").moment(0).startswith("January 1, 1970")
    assert language("de").moment(0).startswith("1. Januar 1970")
