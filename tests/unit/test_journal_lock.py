"""A lock belongs to one process, and is free when that process is gone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.journal.lock import DataDirLock, FileLock, LockHeld

HOLDER = """
import sys
from pathlib import Path
from gateway.journal.lock import DataDirLock
lock = DataDirLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_data_dir_is_made_and_locked(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    with DataDirLock(data_dir), pytest.raises(LockHeld, match=str(data_dir)):
        DataDirLock(data_dir)


def test_a_released_lock_is_free(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    lock.release()
    lock.release()
    with FileLock(tmp_path / "lock"), pytest.raises(LockHeld):
        FileLock(tmp_path / "lock")


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(LockHeld, match="still running"):
                DataDirLock(tmp_path)
        finally:
            holder.kill()
    with DataDirLock(tmp_path):
        assert (tmp_path / "lock").exists()


def test_a_directory_that_cannot_be_made_is_an_error_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        DataDirLock(tmp_path / "file")
