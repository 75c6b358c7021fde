"""A link's colour, made fit to be read: pure arithmetic on sRGB colours (`#rrggbb`).

A colour is moved towards white or black, and no further than it has to be. Mixing with either
keeps the hue: all differences between the channels shrink by the same factor.
"""

from __future__ import annotations

from functools import lru_cache

Channels = tuple[int, int, int]
_STEPS = 256


@lru_cache(maxsize=1024)
def adjusted(color: str, ground: str, ratio: float) -> str:
    """The colour nearest to `color` whose contrast with `ground` is at least `ratio`.

    It is made darker on a light ground and lighter on a dark one, and lies between `color` and
    black or white. `ratio` is WCAG's, and at most 4.58, which one of the two has on any ground.
    """
    start = _channels(color)
    goal = _channels(text_color(ground))
    for step in range(_STEPS + 1):
        mixed = _hex(_mixed(start, goal, step / _STEPS))
        if contrast(mixed, ground) >= ratio:
            return mixed
    raise ValueError("no colour has such a contrast with this ground")


def text_color(ground: str) -> str:
    """Black or white, whichever is read better on `ground`.

    The better of the two has a contrast ratio of at least 4.58 on every colour, above the 4.5
    that WCAG 2.2 asks for (success criterion 1.4.3).
    """
    return max("#000000", "#ffffff", key=lambda text: contrast(text, ground))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21, as WCAG 2.2 defines it."""
    darker, lighter = sorted((relative_luminance(one), relative_luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def relative_luminance(color: str) -> float:
    """The relative luminance of a colour, from 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    red, green, blue = (_linear(channel / 255) for channel in _channels(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _mixed(start: Channels, goal: Channels, share: float) -> Channels:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, goal, strict=True))
    return red, green, blue


def _channels(color: str) -> Channels:
    value = int(color[1:], 16)
    return value >> 16, value >> 8 & 255, value & 255


def _hex(channels: Channels) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in channels)
