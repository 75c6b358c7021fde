"""The style sheet and the icon of the gateway's own pages, under names that never change meaning.

A name holds a hash of its content, so that a browser may keep it for a year.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

ASSETS_PATH = "/-/assets/"
_TYPES = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
_FILES = ("portal.css", "icon.svg")


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
    return {name: _load(name, (folder / name).read_bytes()) for name in _FILES}


def _load(name: str, body: bytes) -> Asset:
    stem, _, kind = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:16]
    return Asset(f"{stem}.{digest}.{kind}", _TYPES[kind], body)
