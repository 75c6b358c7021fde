"""The contents of files, in a folder: one file for each, named by a number.

What a visitor called a file never becomes part of a path.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

MAX_UPLOAD = 200 * 1024 * 1024  # bytes
_MAX_NAME = 100
_ODD = re.compile(r"[^\w .,()+=@-]+")


class UploadTooLarge(Exception):
    """More than MAX_UPLOAD was sent; nothing of it is kept."""


class Uploads:
    """Keeps contents below `folder`, which has to exist. `limit` is in bytes."""

    def __init__(self, folder: Path, limit: int = MAX_UPLOAD) -> None:
        self._folder = folder
        self._limit = limit
        self._numbers = itertools.count(1)

    def path(self, number: int) -> Path:
        """Where the content of file `number` is."""
        return self._folder / f"{number:06d}"

    def keep(self, content: bytes) -> int:
        """Keep a content that is at hand; returns its number."""
        number = next(self._numbers)
        self.path(number).write_bytes(content)
        return number

    async def receive(self, chunks: AsyncIterator[bytes]) -> tuple[int, int]:
        """Keep a content as it arrives; returns its number and its size in bytes.

        Raises UploadTooLarge. What was interrupted is removed.
        """
        number, size = next(self._numbers), 0
        path = self.path(number)
        file = await asyncio.to_thread(path.open, "wb")
        try:
            async for chunk in chunks:
                size += len(chunk)
                if size > self._limit:
                    raise UploadTooLarge
                await asyncio.to_thread(file.write, chunk)
        except BaseException:
            file.close()
            path.unlink()
            raise
        await asyncio.to_thread(file.close)
        return number, size


def safe_name(sent: str) -> str:
    """A file's name as it is shown, stored and given back: the last part of what was sent.

    Letters and digits of any script stay, and common punctuation; anything else, a separator or
    a control character among it, becomes one underscore. Never empty, never `.` or `..`.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", sent))[-1]
    name = _ODD.sub("_", last).strip(" .")
    if len(name) > _MAX_NAME:
        stem, dot, kind = name.rpartition(".")
        ending = dot + kind if stem and len(kind) <= 10 else ""
        name = name[: _MAX_NAME - len(ending)] + ending
    return name or "file"
