"""The secret keys: as set, or generated once into the data directory (SQLite only)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from config.models import MIN_SECRET_KEY, Settings
from config.settings_error import SettingsError

FILE_NAME = "secret_keys"


def resolve_secret_keys(settings: Settings) -> tuple[str, ...]:
    """The keys to sign and encrypt with, the first one first.

    Where none is set, they are read from `data_dir/secret_keys`, one a line; that file is made
    with one new key if it is not there. Raises SettingsError if it cannot be read or made.
    """
    if settings.secret_keys:
        return tuple(key.get_secret_value() for key in settings.secret_keys)
    path = settings.data_dir / FILE_NAME
    try:
        if not path.exists():
            _generate(path)
        keys = tuple(path.read_text("ascii").split())
    except OSError as error:
        raise SettingsError([f"secret_keys: {path}: {error.strerror}"]) from None
    except ValueError:
        raise SettingsError([f"secret_keys: {path} holds something else"]) from None
    if not keys or any(len(key) < MIN_SECRET_KEY for key in keys):
        raise SettingsError([f"secret_keys: {path} has no key, or one that is too short"])
    return keys


def _generate(path: Path) -> None:
    """Make the file whole or not at all; of two processes that try, one wins and both read it.

    A link, unlike a rename, fails where the name is taken: a key that is in use is never replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(48) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
