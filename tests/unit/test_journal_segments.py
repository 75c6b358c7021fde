"""Reading a journal's files: whole lines, in order, each once."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.journal.entry import to_line
from gateway.journal.segments import (
    BadLine,
    count_lines,
    read_batch,
    remove_segments,
    segment_numbers,
    segment_path,
    set_aside,
)
from gateway.store.entry import START, Entry, Position
from tests.unit.test_journal_entry import ENTRY, as_read, entries

NUMBERED = [replace(ENTRY, request_id=f"r-{number}") for number in range(10)]
LINES = [to_line(entry) for entry in NUMBERED]


def write(directory: Path, *segments: bytes) -> None:
    for number, content in enumerate(segments, 1):
        segment_path(directory, number).write_bytes(content)


def read_all(directory: Path, limit: int, end: Position | None = None) -> list[Entry]:
    """Everything, in batches of `limit`, each begun where the last one ended."""
    found: list[Entry] = []
    position = START
    while True:
        batch = read_batch(directory, position, end, limit)
        assert len(batch) <= limit
        found += batch.entries
        position = batch.after
        if batch.is_last:
            return found


@given(st.lists(entries, max_size=6), st.data())
def test_a_cut_anywhere_costs_at_most_the_line_that_it_cuts(
    written: list[Entry], data: st.DataObject
) -> None:
    lines = [to_line(entry) for entry in written]
    content = b"".join(lines)
    cut = data.draw(st.integers(0, len(content)))
    whole = content[:cut].count(b"\n")
    with TemporaryDirectory() as directory:
        write(Path(directory), content[:cut], to_line(ENTRY))
        found = read_all(Path(directory), data.draw(st.integers(1, 8)))
    assert found == [*(as_read(entry) for entry in written[:whole]), ENTRY]


@given(st.lists(st.integers(0, 10), max_size=4), st.integers(1, 12))
def test_batches_of_any_size_give_every_line_once(borders: list[int], limit: int) -> None:
    edges = [0, *sorted(borders), len(LINES)]
    segments = [b"".join(LINES[a:b]) for a, b in pairwise(edges)]
    with TemporaryDirectory() as directory:
        write(Path(directory), *segments)
        assert read_all(Path(directory), limit) == NUMBERED
        assert count_lines(Path(directory)) == len(LINES)


@pytest.mark.parametrize("limit", range(1, 4))
def test_nothing_is_read_beyond_the_end_of_a_live_journal(tmp_path: Path, limit: int) -> None:
    write(tmp_path, LINES[0] + LINES[1], LINES[2] + LINES[3], LINES[4])
    assert read_all(tmp_path, limit, Position(2, len(LINES[2]))) == NUMBERED[:3]


def test_a_position_behind_a_file_that_lost_its_end_is_its_end(tmp_path: Path) -> None:
    write(tmp_path, LINES[0], LINES[1])
    batch = read_batch(tmp_path, Position(1, 10_000), None, 10)
    assert batch.entries == [NUMBERED[1]]
    assert batch.after == Position(2, len(LINES[1]))


def test_reading_begins_at_the_first_segment_that_is_left(tmp_path: Path) -> None:
    segment_path(tmp_path, 7).write_bytes(LINES[0])
    assert read_batch(tmp_path, Position(3, 99), None, 10).entries == [NUMBERED[0]]


def test_a_line_that_is_no_entry_is_told_apart(tmp_path: Path) -> None:
    rubbish = b'{"link_id": \xff\n'
    write(tmp_path, LINES[0] + rubbish + LINES[1] + b"\n")
    batch = read_batch(tmp_path, START, None, 10)
    second = len(LINES[0])
    last = second + len(rubbish) + len(LINES[1])
    assert batch.entries == NUMBERED[:2]
    assert batch.bad == [
        BadLine(Position(1, second), rubbish),
        BadLine(Position(1, last), b"\n"),
    ]
    assert batch.after == Position(1, last + 1)


def test_what_is_set_aside_stands_beside_the_journal_byte_for_byte(tmp_path: Path) -> None:
    directory = tmp_path / "a0"
    directory.mkdir()
    set_aside(directory, [BadLine(Position(3, 0), b"one\n"), BadLine(Position(4, 0), b"\xff\n")])
    set_aside(directory, [BadLine(Position(3, 9), b"two\n")])
    kept = {path.name: path.read_bytes() for path in tmp_path.glob("*.bad")}
    assert kept == {"a0-00000003.bad": b"one\ntwo\n", "a0-00000004.bad": b"\xff\n"}


@pytest.mark.parametrize(
    ("before", "left"),
    [
        pytest.param(1, [1, 2, 3], id="none"),
        pytest.param(3, [3], id="those below"),
        pytest.param(None, [], id="all"),
    ],
)
def test_segments_are_removed_up_to_a_number(
    tmp_path: Path, before: int | None, left: list[int]
) -> None:
    write(tmp_path, b"", b"", b"")
    (tmp_path / "lock").touch()
    remove_segments(tmp_path, before)
    assert segment_numbers(tmp_path) == left
    assert (tmp_path / "lock").exists()
