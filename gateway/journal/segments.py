"""A journal's files: their names, their order, and reading them in batches.

    {root}/{journal id}/00000001.jsonl    the lines, in the order of the numbers
    {root}/{journal id}/lock              held by the process that writes here
    {root}/{journal id}-00000001.bad      lines of that segment that are no entries

Everything here blocks, so it is called in a thread.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gateway.journal.entry import Entry, Event, from_line
from gateway.store.entry import Position

_NAME = re.compile(r"([0-9]{8,})\.jsonl")


class BadLine(NamedTuple):
    """A whole line that is no entry, and where it began."""

    position: Position
    line: bytes


@dataclass(slots=True)
class Batch:
    """What was read from one position on; it ends before `after`.

    `is_last` says that nothing more was there to read when this was read.
    """

    after: Position
    entries: list[Entry | Event] = field(default_factory=list)
    bad: list[BadLine] = field(default_factory=list)
    is_last: bool = True

    def __len__(self) -> int:
        return len(self.entries) + len(self.bad)


def segment_path(directory: Path, number: int) -> Path:
    """The file of one segment."""
    return directory / f"{number:08d}.jsonl"


def segment_numbers(directory: Path) -> list[int]:
    """The numbers of the segments that are there, in their order."""
    return sorted(
        int(match[1]) for name in os.listdir(directory) if (match := _NAME.fullmatch(name))
    )


def read_batch(directory: Path, start: Position, end: Position | None, limit: int) -> Batch:
    """At most `limit` lines from `start` on; not beyond `end`, if the journal is still written.

    What stands after the last line feed of a segment is not a line: its writer died, or was
    refused, in the middle, and told nobody that the entry was made. Raises OSError.
    """
    batch = Batch(start)
    for number in segment_numbers(directory):
        if number < start.segment or (end is not None and number > end.segment):
            continue
        offset = start.offset if number == start.segment else 0
        stop = end.offset if end is not None and number == end.segment else None
        _read_segment(directory, Position(number, offset), stop, limit, batch)
        if not batch.is_last:
            break
    return batch


def _read_segment(
    directory: Path, start: Position, stop: int | None, limit: int, batch: Batch
) -> None:
    """Add lines from `start` to `batch` until it has `limit`, the file ends, or `stop` comes.

    `stop` matters beside a writer on a full disk: it takes half a line back, and a buffer that
    had already read that half would join it to the next line.
    """
    number, offset = start
    with open(segment_path(directory, number), "rb") as file:
        file.seek(offset)
        while stop is None or offset < stop:
            line = file.readline()
            if not line.endswith(b"\n"):
                return
            if len(batch) == limit:
                batch.is_last = False
                return
            try:
                batch.entries.append(from_line(line))
            except ValueError:
                batch.bad.append(BadLine(Position(number, offset), line))
            offset += len(line)
            batch.after = Position(number, offset)


def count_lines(directory: Path) -> int:
    """How many whole lines are in the journal, stored or not. Raises OSError."""
    total = 0
    for number in segment_numbers(directory):
        with open(segment_path(directory, number), "rb") as file:
            total += sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return total


def set_aside(directory: Path, bad: list[BadLine]) -> None:
    """Keep lines that are no entries, as they are, beside the journal, safely on the disk.

    Beside it and not in it, because the directory goes when its entries are stored. A process
    that dies between this and the commit sets the same lines aside once more. Raises OSError.
    """
    for position, line in bad:
        path = directory.parent / f"{directory.name}-{position.segment:08d}.bad"
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(line)
            file.flush()
            os.fdatasync(fd)


def remove_segments(directory: Path, before: int | None) -> None:
    """Delete the segments with numbers below `before`, or all of them. Raises OSError."""
    for number in segment_numbers(directory):
        if before is None or number < before:
            segment_path(directory, number).unlink(missing_ok=True)
