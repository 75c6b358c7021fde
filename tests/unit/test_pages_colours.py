"""A link's colour is read well on every page, and stays that colour."""

from __future__ import annotations

import colorsys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.pages.colours import adjusted, contrast, relative_luminance, text_color
from gateway.pages.style import CARDS, SHAPE_RATIO, TEXT_RATIO

colors = st.integers(0, 0xFFFFFF).map(lambda value: f"#{value:06x}")
cards = st.sampled_from(CARDS)
ratios = st.sampled_from([SHAPE_RATIO, TEXT_RATIO])


def channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


@given(colors)
def test_text_is_readable_on_every_colour(color: str) -> None:
    assert contrast(text_color(color), color) >= 4.5


@given(colors, cards, ratios)
def test_an_adjusted_colour_stands_out(color: str, card: str, ratio: float) -> None:
    made = adjusted(color, card, ratio)
    assert contrast(made, card) >= ratio
    assert contrast(text_color(made), made) >= 4.5


@given(colors, cards, ratios)
def test_what_stands_out_is_left_as_it_is(color: str, card: str, ratio: float) -> None:
    assert (adjusted(color, card, ratio) == color) is (contrast(color, card) >= ratio)


@given(colors, cards, ratios)
def test_a_colour_is_adjusted_once(color: str, card: str, ratio: float) -> None:
    made = adjusted(color, card, ratio)
    assert adjusted(made, card, ratio) == made


@given(colors, cards, ratios)
def test_no_further_than_needed(color: str, card: str, ratio: float) -> None:
    """One step less would not be enough: a step is 1/256 of the way to black or white."""
    made = adjusted(color, card, ratio)
    if made != color:
        assert contrast(made, card) < ratio + 0.25


@given(colors, cards, ratios)
def test_the_hue_is_kept(color: str, card: str, ratio: float) -> None:
    made = adjusted(color, card, ratio)
    before, after = channels(color), channels(made)
    for one in range(3):
        for other in range(3):
            if before[one] >= before[other]:
                assert after[one] >= after[other], "the order of the channels is the hue's sector"
    # Of a colour that is nearly grey, eight bits do not hold the hue any more.
    if max(after) - min(after) >= 64:
        hues = [colorsys.rgb_to_hsv(*(c / 255 for c in each))[0] for each in (before, after)]
        assert abs(hues[0] - hues[1]) * 360 <= 1.5


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


@pytest.mark.parametrize(
    ("color", "light", "dark"),
    [
        pytest.param("#000000", "#000000", "#696969", id="black"),
        pytest.param("#ffffff", "#949494", "#ffffff", id="white"),
        pytest.param("#ffd400", "#af9200", "#ffd400", id="yellow"),
        pytest.param("#0b6e4f", "#0b6e4f", "#187659", id="green"),
    ],
)
def test_a_colour_on_both_cards(color: str, light: str, dark: str) -> None:
    assert [adjusted(color, card, SHAPE_RATIO) for card in CARDS] == [light, dark]


@pytest.mark.parametrize(
    ("color", "luminance"),
    [
        ("#000000", 0.0),
        ("#ffffff", 1.0),
        ("#ff0000", 0.2126),
        ("#00ff00", 0.7152),
        ("#0000ff", 0.0722),
    ],
)
def test_relative_luminance(color: str, luminance: float) -> None:
    assert relative_luminance(color) == pytest.approx(luminance)


def test_the_contrast_of_black_and_white() -> None:
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)


def test_no_colour_stands_out_so_much() -> None:
    with pytest.raises(ValueError):
        adjusted("#808080", "#777777", 7)
