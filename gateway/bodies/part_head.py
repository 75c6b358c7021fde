"""The head of one part of a multipart form (RFC 7578 section 4), in its one plain spelling."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.bodies.fitting import ambiguous
from gateway.bodies.media_type import MediaType, parse_media_type
from gateway.errors import Refusal

_HEADER = re.compile(rb"([A-Za-z-]+):[ \t]*([^\x00-\x1f\x7f]*)")
_DISPOSITION = "content-disposition"
_TYPE = "content-type"
_TRANSFER_ENCODING = "content-transfer-encoding"
_KNOWN = {_DISPOSITION, _TYPE, _TRANSFER_ENCODING}
# Those that change nothing (RFC 2045 section 6.2).
_PLAIN = {"7bit", "8bit", "binary"}

# A quoted value without a backslash: to some it escapes the quote after it, to others it does not.
_VALUE = r'(?:"([^"\\]*)"|([0-9A-Za-z_.-]+))'
_PARAMETERS = re.compile(rf"form-data((?:; ?(?:name|filename)={_VALUE})+)")
_PARAMETER = re.compile(rf"; ?(name|filename)={_VALUE}")


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a part says of itself. `is_file`: it has a file's name, though it may be an empty one."""

    name: str
    is_file: bool
    media_type: MediaType | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is a field to every program: some take what has another type for a file."""
        return not self.is_file and (
            self.media_type is None or self.media_type.name == "text/plain"
        )


def parse_part_head(head: bytes) -> PartHead:
    """The head of a part, without the empty line that ends it.

    Raises Refusal (`bad_request`) for what programs read differently: headers twice, folded, or
    of another name than the three that are known; parameters twice, escaped, or in another
    character set (`filename*`); a transfer encoding; a multipart within.
    """
    headers: dict[str, str] = {}
    for line in head.split(b"\r\n"):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise ambiguous()
        name = match[1].decode("ascii").lower()
        if name not in _KNOWN or name in headers:
            raise ambiguous()
        headers[name] = _decode(match[2]).rstrip(" \t")
    if headers.get(_TRANSFER_ENCODING, "binary").lower() not in _PLAIN:
        raise ambiguous()
    media_type = _media_type(headers.get(_TYPE))
    parameters = _disposition(headers.get(_DISPOSITION, ""))
    return PartHead(parameters["name"], "filename" in parameters, media_type)


def _disposition(value: str) -> dict[str, str]:
    whole = _PARAMETERS.fullmatch(value)
    found = _PARAMETER.findall(whole[1]) if whole is not None else []
    parameters = {name: quoted or token for name, quoted, token in found}
    # Of an encoded word (RFC 2047) some programs take what is encoded for the name.
    if len(parameters) < len(found) or "name" not in parameters or "=?" in parameters["name"]:
        raise ambiguous()
    return parameters


def _media_type(value: str | None) -> MediaType | None:
    """A part's type; what a file says of itself matters to nobody here, unless it nests forms."""
    if value is None:
        return None
    if value.lower().startswith("multipart/"):
        raise ambiguous()
    try:
        return parse_media_type([value])
    except Refusal:
        # Something that is no text, with parameters of its own.
        return MediaType("")


def _decode(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise ambiguous() from None
