"""What the gateway's own pages refer to, under names that never change meaning.

A name holds a hash of its content, so that a browser may keep it for a year.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from gateway.pages.style import brand_style

ASSETS_PATH = "/-/assets/"
_TYPES = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
_FILES = ("portal.css", "icon.svg")
_BRAND = re.compile(r"brand-([0-9a-f]{6})\.[0-9a-f]{16}\.css")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served: `name` is `portal.<hash>.css`."""

    name: str
    content_type: str
    body: bytes

    @property
    def path(self) -> str:
        """The absolute path that a page refers to."""
        return ASSETS_PATH + self.name


def load_assets() -> dict[str, Asset]:
    """Every asset by the plain name of its file (`portal.css`)."""
    folder = files(__package__) / "assets"
    return {name: _named(name, (folder / name).read_bytes()) for name in _FILES}


@lru_cache(maxsize=256)
def brand_asset(color: str) -> Asset:
    """The style sheet for a link's colour. Raises ValueError for what is no colour."""
    return _named(f"brand-{color[1:].lower()}.css", brand_style(color).encode())


def brand_asset_named(name: str) -> Asset | None:
    """The style sheet that a page of this version refers to as `name`.

    It is made when it is asked for: a colour is no secret, and there is nothing to store.
    """
    match = _BRAND.fullmatch(name)
    if match is None:
        return None
    asset = brand_asset(f"#{match[1]}")
    return asset if asset.name == name else None


def _named(name: str, body: bytes) -> Asset:
    stem, _, kind = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:16]
    return Asset(f"{stem}.{digest}.{kind}", _TYPES[kind], body)
