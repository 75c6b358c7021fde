"""What is a logo: a PNG, JPEG, GIF or WebP that can be decoded, stands still and is not huge.

The type is read from the content; what a server or a name says is not asked. SVG is a document
that can hold scripts, and is not among them.
"""

from __future__ import annotations

import warnings
from io import BytesIO

from PIL import Image, UnidentifiedImageError

from gateway.errors import GatewayError

MAX_BYTES = 256 * 1024
MAX_SIDE = 2048  # pixels
_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "GIF": "image/gif",
    "WEBP": "image/webp",
}


class NotALogo(GatewayError):
    """The bytes are none; the text says why, and quotes nothing of them."""


def content_type_of(body: bytes) -> str:
    """The media type of a logo. Decodes it, so call it in a thread. Raises NotALogo."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of a picture that unpacks to far more than it should.
            warnings.simplefilter("error")
            with Image.open(BytesIO(body), formats=tuple(_TYPES)) as image:
                _judge(image)
                image.load()
                return _TYPES[str(image.format)]
    except UnidentifiedImageError:
        raise NotALogo("it is no PNG, JPEG, GIF or WebP") from None
    except NotALogo:
        raise
    except Exception as error:  # Pillow's decoders raise whatever broken bytes lead them to.
        raise NotALogo(f"it cannot be decoded ({type(error).__name__})") from None


def _judge(image: Image.Image) -> None:
    """Look at the head, before anything is unpacked."""
    if not all(0 < side <= MAX_SIDE for side in image.size):
        raise NotALogo(f"it is larger than {MAX_SIDE} pixels on a side")
    if getattr(image, "is_animated", False):
        # WCAG 2.2, success criterion 2.2.2: what moves by itself has to be stoppable.
        raise NotALogo("it moves")
