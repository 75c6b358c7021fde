"""Who owns a directory, by `flock` on a file in it.

The kernel lets go of such a lock when the process dies, however it dies, so a free lock means
that the owner is gone: there is no stale lock to clear, and no timeout to wait for.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.errors import GatewayError

LOCK_NAME = "lock"


class LockHeld(GatewayError):
    """Another process has the lock."""


class FileLock:
    """An exclusive lock on the file at `path`, held from construction to `release`.

    Raises LockHeld at once if another holder lives, and OSError if the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise LockHeld(f"{path} is locked by another process") from None
        except OSError:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Let go. Does nothing the second time."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class DataDirLock(FileLock):
    """Makes this process the only gateway on `data_dir`, which is created if it is missing.

    Raises LockHeld, with a sentence for the operator, while another gateway is running on it.
    """

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        try:
            super().__init__(data_dir / LOCK_NAME)
        except LockHeld:
            raise LockHeld(
                f"data_dir {data_dir} is in use by another gateway that is still running; "
                "stop that one, or give this one a data_dir of its own"
            ) from None
