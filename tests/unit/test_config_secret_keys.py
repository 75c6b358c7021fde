"""The secret keys that are made when none is given."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.load import SettingsError, resolve_secret_keys
from config.models import Settings


def settings(data_dir: Path, *keys: str) -> Settings:
    return Settings.model_validate(
        {"upstream": {"url": "http://b"}, "data_dir": data_dir, "secret_keys": keys}
    )


def test_given_keys_are_used_and_none_is_made(tmp_path: Path) -> None:
    assert resolve_secret_keys(settings(tmp_path, "a" * 32, "b" * 32)) == ("a" * 32, "b" * 32)
    assert list(tmp_path.iterdir()) == []


def test_one_key_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    data_dir = tmp_path / "new" / "data"
    (key,) = resolve_secret_keys(settings(data_dir))
    assert len(key) >= 32
    assert resolve_secret_keys(settings(data_dir)) == (key,)
    assert [path.name for path in data_dir.iterdir()] == ["secret_keys"]
    assert stat.S_IMODE((data_dir / "secret_keys").stat().st_mode) == 0o600


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(resolve_secret_keys, [settings(tmp_path)] * 32))
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret_keys"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"short\n", id="short"),
        pytest.param(b"\xff" * 40, id="not text"),
    ],
)
def test_a_broken_file_is_a_fault_and_stays(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret_keys").write_bytes(content)
    with pytest.raises(SettingsError, match="secret_keys: "):
        resolve_secret_keys(settings(tmp_path))
    assert (tmp_path / "secret_keys").read_bytes() == content


def test_a_data_dir_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="secret_keys: "):
        resolve_secret_keys(settings(tmp_path / "file"))
