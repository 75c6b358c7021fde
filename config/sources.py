"""Where settings come from: a TOML file, and the environment, which wins.

A source gives one nested table, whatever is wrong with it: faults are collected and reported
together with those of validation, so that nobody has to fix them one start at a time.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from config.shape import (
    SECRETS,
    WEBHOOK_SECRETS,
    WEBHOOKS,
    annotation_at,
    is_header,
    is_list,
    is_table,
)

PREFIX = "PORTAL_"
CONFIG_VARIABLE = "PORTAL_CONFIG"
_FILE = "_file"
SettingPath = tuple[str, ...]
Table = MutableMapping[str, Any]


@dataclass(slots=True)
class Findings:
    """What the sources learn on the way: faults by setting, and the variable behind a setting."""

    faults: list[tuple[SettingPath, str]] = field(default_factory=list)
    variables: dict[SettingPath, str] = field(default_factory=dict)

    def fault(self, path: SettingPath, message: str) -> None:
        """Note that the setting at `path` cannot be used. `message` never holds its value."""
        self.faults.append((path, message))


class _Source(PydanticBaseSettingsSource):
    """One source; `_read` gives the raw table, in which secrets may still be names of files."""

    def __init__(self, settings_cls: type[BaseSettings], findings: Findings) -> None:
        super().__init__(settings_cls)
        self._findings = findings

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One setting; the interface asks for it, `__call__` gives them all."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        table = self._read()
        self._read_secrets(table, (), SECRETS)
        if isinstance(keys := table.get("secret_keys"), str):
            table["secret_keys"] = _split(keys)
        for path, upstream in _upstreams(table):
            if isinstance(headers := upstream.get("headers"), dict):
                self._read_secrets(headers, (*path, "headers"), None)
                upstream["headers"] = self._one_spelling(headers, (*path, "headers"))
        for path, webhook in _named_tables(table, WEBHOOKS):
            self._read_secrets(webhook, path, WEBHOOK_SECRETS)
        return table

    def _read(self) -> dict[str, Any]:
        raise NotImplementedError

    def _read_secrets(self, table: Table, path: SettingPath, names: tuple[str, ...] | None) -> None:
        """Put the contents of `NAME_FILE` in the place of NAME; `names` None: any name."""
        for key in list(table):
            name = key[: -len(_FILE)]
            if not key.lower().endswith(_FILE) or not name or (names and name not in names):
                continue
            where = table.pop(key)
            if self._is_given_elsewhere((*path, name)):
                continue
            given = {name.lower() for name in table}
            if variable := self._findings.variables.pop((*path, key), None):
                self._findings.variables[(*path, name)] = variable
            if name.lower() in given:
                self._findings.fault((*path, name), "it is given twice, once as a file")
                continue
            secret = self._read_file(where, (*path, name))
            if secret is not None:
                table[name] = secret

    def _is_given_elsewhere(self, path: SettingPath) -> bool:
        """Whether a source that wins gives this secret, so that its file need not even exist."""
        return False

    def _read_file(self, where: object, path: SettingPath) -> str | None:
        """The text of a file, without the line end that editors leave there.

        The fault does not repeat `where`: some put the secret itself there.
        """
        if not isinstance(where, str):
            self._findings.fault(path, "the path of a file is wanted")
            return None
        try:
            return Path(where).read_text("utf-8").rstrip("\r\n")
        except OSError as error:
            self._findings.fault(path, f"the file cannot be read: {error.strerror}")
        except ValueError:
            self._findings.fault(path, "the file is not UTF-8 text")
        return None

    def _one_spelling(self, headers: Table, path: SettingPath) -> dict[str, Any]:
        """Headers under one spelling, so that the environment's replaces the file's."""
        named: dict[str, Any] = {}
        for name, value in headers.items():
            title = name.title()
            if title in named:
                self._findings.fault((*path, title), "it is given twice")
            named[title] = value
            if variable := self._findings.variables.pop((*path, name), None):
                self._findings.variables[(*path, title)] = variable
        return named


class FileSource(_Source):
    """The TOML file; without one, nothing is set here."""

    def __init__(
        self, settings_cls: type[BaseSettings], findings: Findings, path: Path | None
    ) -> None:
        super().__init__(settings_cls, findings)
        self._path = path

    def _is_given_elsewhere(self, path: SettingPath) -> bool:
        spelled = (*path[:-1], path[-1].title()) if is_header(path) else path
        return spelled in self._findings.variables

    def _read(self) -> dict[str, Any]:
        if self._path is None:
            return {}
        try:
            return tomllib.loads(self._path.read_text("utf-8"))
        except OSError as error:
            self._findings.fault((), f"{self._path} cannot be read: {error.strerror}")
        except tomllib.TOMLDecodeError as error:
            self._findings.fault((), f"{self._path} is not TOML: {error}")
        except UnicodeDecodeError:
            self._findings.fault((), f"{self._path} is not UTF-8 text")
        return {}


class EnvironmentSource(_Source):
    """`PORTAL_` variables: `__` goes into a table, a table may be JSON, a list has commas."""

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        findings: Findings,
        environ: Mapping[str, str],
    ) -> None:
        super().__init__(settings_cls, findings)
        self._environ = environ

    def _read(self) -> dict[str, Any]:
        table: dict[str, Any] = {}
        named = {
            _path_of(variable): variable
            for variable in self._environ
            if variable.startswith(PREFIX) and variable != CONFIG_VARIABLE
        }
        # Whole tables first: what names one setting in them is the more specific.
        for path in sorted(named, key=lambda path: (len(path), path)):
            self._findings.variables[path] = named[path]
            value = self._value(path, self._environ[named[path]])
            if value is not None and not _insert(table, path, value):
                self._findings.fault(path, "there is no such setting")
        return table

    def _value(self, path: SettingPath, text: str) -> Any:
        annotation = annotation_at(path)
        if is_list(annotation) and not text.lstrip().startswith("["):
            return _split(text)
        if not is_list(annotation) and not is_table(annotation):
            return text
        try:
            value = json.loads(text)
        except ValueError:
            self._findings.fault(path, "this is not JSON")
            return None
        if not isinstance(value, list if is_list(annotation) else dict):
            self._findings.fault(path, "a table is given as a JSON object")
            return None
        return value


def _path_of(variable: str) -> SettingPath:
    """The setting that a variable names; a header's `-` is written `_` there."""
    path = tuple(variable.removeprefix(PREFIX).lower().split("__"))
    if not is_header(path):
        return path
    name, is_file = path[-1].removesuffix(_FILE), path[-1].endswith(_FILE)
    return (*path[:-1], name.replace("_", "-") + (_FILE if is_file else ""))


def _insert(table: Table, path: SettingPath, value: object) -> bool:
    """Set `value` at `path`; False if something on the way is no table."""
    for key in path[:-1]:
        inner = table.setdefault(key, {})
        if not isinstance(inner, dict):
            return False
        table = inner
    table[path[-1]] = value
    return True


def _upstreams(table: Mapping[str, Any]) -> list[tuple[SettingPath, Table]]:
    """Every table that describes a backend, as far as these are tables."""
    own = table.get("upstream")
    first: list[tuple[SettingPath, Table]] = [(("upstream",), own)] if isinstance(own, dict) else []
    return first + _named_tables(table, "upstreams")


def _named_tables(table: Mapping[str, Any], key: str) -> list[tuple[SettingPath, Table]]:
    """The tables of `key`, one for each name that the operator chose, as far as they are tables."""
    named = table.get(key)
    if not isinstance(named, dict):
        return []
    return [((key, name), each) for name, each in named.items() if isinstance(each, dict)]


def _split(text: str) -> list[str]:
    """A plain list: commas or line ends between its members."""
    return [part for part in (p.strip() for p in text.replace("\n", ",").split(",")) if part]
