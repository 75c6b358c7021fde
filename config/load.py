"""Read the settings: a TOML file, and the environment, which wins.

Only this module looks at the environment. All that is wrong is listed at once, in one
`SettingsError`, whose text names settings and never repeats the value of one.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.models import Part, Settings, part_problem
from config.secret_keys import resolve_secret_keys
from config.settings_error import SettingsError
from config.shape import NAMED_TABLES, known_settings
from config.sources import CONFIG_VARIABLE, PREFIX, EnvironmentSource, FileSource, Findings

__all__ = ["SettingsError", "load_settings", "resolve_secret_keys"]

# Kubernetes puts such variables into every container beside a Service named "portal".
_SERVICE_LINK = re.compile(r"PORTAL_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")


def load_settings(
    config: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    part: Part = "all",
) -> Settings:
    """The settings for serving `part`, from the file `config` (or `PORTAL_CONFIG`) and `environ`.

    Raises SettingsError with every fault.
    """
    if config is None and environ.get(CONFIG_VARIABLE):
        config = Path(environ[CONFIG_VARIABLE])
    findings = Findings()
    try:
        settings = _read(config, environ, findings)
    except ValidationError as error:
        # Only what validation says is kept: the error itself holds every value.
        details = error.errors(include_url=False, include_input=False)
    else:
        problems = _described(findings, ()) + part_problem(settings, part)
        if not problems:
            return settings
        raise SettingsError(problems)
    raise SettingsError(_described(findings, details))


def _read(config: Path | None, environ: Mapping[str, str], findings: Findings) -> Settings:
    class _Sources(BaseSettings):
        """Every source's table laid over the next one's; nothing is validated yet."""

        model_config = SettingsConfigDict(extra="allow")

        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], *_: object, **__: object
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (
                EnvironmentSource(settings_cls, findings, environ),
                FileSource(settings_cls, findings, config),
            )

    return Settings.model_validate(_Sources().model_extra)


def _described(findings: Findings, details: Sequence[ErrorDetails]) -> list[str]:
    """Every fault as a line; what a source could not read is not called missing as well."""
    faults = list(findings.faults)
    known = {path for path, _ in faults}
    for detail in details:
        path = tuple(str(part) for part in detail["loc"] if part != "[key]")
        if path == ("upstream",) and detail["type"] == "missing":
            path = ("upstream", "url")
        if path not in known and not (() in known and detail["type"] == "missing"):
            faults.append((path, _message(detail, path, findings)))
    return [f"{_label(path, findings)}: {message}" for path, message in faults]


def _message(detail: ErrorDetails, path: tuple[str, ...], findings: Findings) -> str:
    if detail["type"] == "extra_forbidden":
        return _unknown(path, findings)
    if detail["type"] == "missing":
        return "it is required"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    return detail["msg"]


def _unknown(path: tuple[str, ...], findings: Findings) -> str:
    """That there is no such setting, and which one may have been meant."""
    variable_path = _behind(path, findings)
    dotted = ".".join(variable_path or path)
    name = path[1] if path[0] in NAMED_TABLES and len(path) > 1 else "NAME"
    known = set(known_settings(name))
    known |= {setting.rpartition(".")[0] for setting in known}
    close = difflib.get_close_matches(dotted, sorted(known), 1, 0.75)
    variable = findings.variables.get(variable_path or ())
    if variable and _SERVICE_LINK.fullmatch(variable):
        return "there is no such setting (Kubernetes sets it: use enableServiceLinks: false)"
    if not close:
        return "there is no such setting"
    meant = PREFIX + close[0].replace(".", "__").upper() if variable else close[0]
    return f"there is no such setting; did you mean {meant}?"


def _label(path: tuple[str, ...], findings: Findings) -> str:
    """The setting's name, and the variable that it was read from."""
    if not path:
        return "config"
    dotted = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(path))
    behind = _behind(path, findings)
    return f"{dotted} ({findings.variables[behind]})" if behind else dotted


def _behind(path: tuple[str, ...], findings: Findings) -> tuple[str, ...] | None:
    """The path of the variable that gave the setting at `path`, if one did."""
    while path and path[-1].isdigit():
        path = path[:-1]
    below = (known for known in findings.variables if known[: len(path)] == path)
    return path if path in findings.variables else next(below, None)
