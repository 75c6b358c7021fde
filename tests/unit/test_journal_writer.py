"""The writer: what it took is in the file, what it refused is not, and it recovers."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import StoreUnavailable
from gateway.journal.entry import to_line
from gateway.journal.lock import FileLock, LockHeld
from gateway.journal.segments import read_batch, segment_numbers, segment_path
from gateway.journal.writer import JournalWriter
from gateway.store.entry import START, Entry, Position
from tests.unit.test_journal_entry import ENTRY

LENGTH = len(to_line(ENTRY))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    writer = JournalWriter(tmp_path / "journal")
    yield writer
    writer.close()


def entries_of(directory: Path) -> list[Entry]:
    """What a reader finds, which has to be lines and nothing else."""
    batch = read_batch(directory, START, None, 1_000_000)
    assert batch.bad == []
    return batch.entries


def content(writer: JournalWriter) -> bytes:
    return segment_path(writer.directory, writer.end.segment).read_bytes()


def live_descriptor(writer: JournalWriter) -> int:
    """The descriptor that the writer has its live segment open by, as the kernel tells it."""
    live = str(segment_path(writer.directory, writer.end.segment))
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == live:
                return int(name)
        except FileNotFoundError:
            continue
    raise AssertionError("the live segment is not open")


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk on which no file can grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def replaced_by(writer: JournalWriter, device: str) -> Iterator[None]:
    """The live segment's descriptor leads to `device` from now on."""
    other = os.open(device, os.O_WRONLY)
    try:
        os.dup2(other, live_descriptor(writer))
        yield
    finally:
        os.close(other)


def test_an_entry_is_in_the_file_when_append_returns(writer: JournalWriter) -> None:
    writer.append(ENTRY)
    assert content(writer) == to_line(ENTRY)
    assert writer.end == Position(1, LENGTH)
    assert writer.written.is_set()


def test_every_writer_has_a_directory_of_its_own_and_locks_it(tmp_path: Path) -> None:
    first, second = JournalWriter(tmp_path), JournalWriter(tmp_path)
    assert first.journal_id != second.journal_id
    assert {path.name for path in tmp_path.iterdir()} == {first.journal_id, second.journal_id}
    with pytest.raises(LockHeld):
        FileLock(first.directory / "lock")
    first.close()
    second.close()
    FileLock(first.directory / "lock").release()


def test_entries_are_counted_and_pending_until_they_are_stored(tmp_path: Path) -> None:
    counted: list[None] = []
    writer = JournalWriter(tmp_path, counted=lambda: counted.append(None))
    for _ in range(3):
        writer.append(ENTRY)
    assert (len(counted), writer.pending()) == (3, 3)
    writer.stored(2)
    assert (len(counted), writer.pending()) == (3, 1)
    writer.close()


def test_segments_are_rotated_by_size_and_nothing_is_lost(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, max_segment=3 * LENGTH)
    written = [replace(ENTRY, request_id=f"r-{number}") for number in range(9)]
    for entry in written:
        writer.append(entry)
    writer.close()
    assert segment_numbers(writer.directory) == [1, 2, 3, 4]
    assert entries_of(writer.directory) == written


@pytest.mark.parametrize("room", [0, 1, LENGTH // 2, LENGTH - 1])
def test_a_full_disk_refuses_the_entry_and_leaves_no_half_of_it(
    writer: JournalWriter, room: int
) -> None:
    writer.append(ENTRY)
    with files_no_larger_than(LENGTH + room):
        for _ in range(2):
            with pytest.raises(StoreUnavailable) as refusal:
                writer.append(ENTRY)
            assert refusal.value.store == "journal"
            assert content(writer) == to_line(ENTRY)
    assert (writer.pending(), writer.end) == (1, Position(1, LENGTH))


def test_a_disk_with_room_again_takes_entries_again(writer: JournalWriter) -> None:
    writer.append(ENTRY)
    with files_no_larger_than(LENGTH + 7), pytest.raises(StoreUnavailable):
        writer.append(ENTRY)
    later = replace(ENTRY, request_id="later")
    writer.append(later)
    assert content(writer) == to_line(ENTRY) + to_line(later)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(writer: JournalWriter) -> list[Entry]:
    """Append until the writer refuses; what it took."""
    taken: list[Entry] = []
    while len(taken) < 10_000:
        entry = replace(ENTRY, request_id=f"r-{len(taken)}")
        try:
            writer.append(entry)
        except StoreUnavailable:
            return taken
        taken.append(entry)
    raise AssertionError("the disk does not fill up")


def test_a_small_file_system_fills_up_and_is_emptied(small_disk: Path) -> None:
    writer = JournalWriter(small_disk / "journal", max_segment=8 * 1024)
    other = small_disk / "other"
    other.write_bytes(b"x" * 20_000)
    taken = fill(writer)
    assert entries_of(writer.directory) == taken
    other.unlink()
    taken += fill(writer)
    writer.close()
    assert entries_of(writer.directory) == taken
    assert len(taken) > 50


def test_a_descriptor_that_was_closed_costs_one_entry(writer: JournalWriter) -> None:
    writer.append(ENTRY)
    os.close(live_descriptor(writer))
    with pytest.raises(StoreUnavailable):
        writer.append(ENTRY)
    later = replace(ENTRY, request_id="later")
    writer.append(later)
    assert writer.end == Position(2, len(to_line(later)))
    assert entries_of(writer.directory) == [ENTRY, later]


def test_a_file_that_cannot_be_cut_is_left_for_a_new_one(writer: JournalWriter) -> None:
    with replaced_by(writer, "/dev/full"):
        with pytest.raises(StoreUnavailable, match="No space left"):
            writer.append(ENTRY)
        writer.append(ENTRY)
    assert writer.end.segment == 2
    assert entries_of(writer.directory) == [ENTRY]


async def test_sync_waits_for_an_entry_and_returns_when_it_is_flushed(
    writer: JournalWriter,
) -> None:
    waiting = asyncio.create_task(writer.sync())
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    writer.append(ENTRY)
    await asyncio.wait_for(waiting, 5)


async def test_after_a_failed_flush_the_file_is_not_trusted(writer: JournalWriter) -> None:
    with replaced_by(writer, "/dev/null"):  # takes what is written, and cannot be flushed
        writer.append(ENTRY)
        with pytest.raises(StoreUnavailable):
            await writer.sync()
    writer.append(ENTRY)
    assert writer.end == Position(2, LENGTH)
    await writer.sync()
    assert entries_of(writer.directory) == [ENTRY]


async def test_rotated_files_are_flushed_and_closed(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, max_segment=LENGTH)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        writer.append(ENTRY)
    await writer.sync()
    assert len(os.listdir("/proc/self/fd")) == before
    writer.close()


def test_a_closed_journal_takes_nothing(writer: JournalWriter) -> None:
    writer.append(ENTRY)
    writer.close()
    writer.close()
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="closed"):
            writer.append(ENTRY)
    assert entries_of(writer.directory) == [ENTRY]


def test_a_root_that_is_no_directory_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        JournalWriter(tmp_path / "file")


# What is still in memory.


def numbered(number: int) -> Entry:
    return replace(ENTRY, request_id=str(number))


AFTER_FIRST = Position(1, len(to_line(numbered(0))))


def test_the_newest_entries_are_had_without_the_file(writer: JournalWriter) -> None:
    for number in range(5):
        writer.append(numbered(number))
    first = writer.recent(START, 3)
    assert first is not None
    assert ([e.request_id for e in first.entries], first.is_last) == (["0", "1", "2"], False)
    rest = writer.recent(first.after, 3)
    assert rest is not None
    assert ([e.request_id for e in rest.entries], rest.is_last) == (["3", "4"], True)
    assert rest.after == writer.end


def test_memory_and_file_tell_the_same(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal", max_segment=3 * LENGTH)
    try:
        for number in range(8):
            writer.append(numbered(number))
        told = writer.recent(START, 100)
        assert told is not None
        assert told.entries == entries_of(writer.directory)
        assert told.after == read_batch(writer.directory, START, writer.end, 100).after
    finally:
        writer.close()


def test_what_was_not_stored_can_be_had_again(writer: JournalWriter) -> None:
    writer.append(numbered(0))
    once, again = writer.recent(START, 10), writer.recent(START, 10)
    assert once is not None
    assert again is not None
    assert once.entries == again.entries


@pytest.mark.parametrize(
    "position",
    [
        pytest.param(Position(1, 1), id="within a line"),
        pytest.param(Position(0, 0), id="forgotten by now"),
        pytest.param(Position(9, 0), id="never written"),
    ],
)
def test_from_elsewhere_only_the_file_can_tell(writer: JournalWriter, position: Position) -> None:
    for number in range(3):
        writer.append(numbered(number))
    assert writer.recent(AFTER_FIRST, 1) is not None
    assert writer.recent(position, 10) is None


def test_memory_is_bounded(writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.writer.MAX_RECENT", 2)
    for number in range(3):
        writer.append(numbered(number))
    assert writer.recent(START, 10) is None
    kept = writer.recent(AFTER_FIRST, 10)
    assert kept is not None
    assert [entry.request_id for entry in kept.entries] == ["1", "2"]
