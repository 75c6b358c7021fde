"""The documents say what the program does: nothing is left out, and what they name is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

from config.models import Settings, ThrottleSettings
from config.shape import known_settings
from gateway.cli import app, key_app
from gateway.links.verdict import Reason
from gateway.metrics import Metrics
from gateway.refusals import STATUS
from gateway.request.reader import MAX_USER_AGENT
from gateway.store.schema import metadata
from gateway.store.snapshots import SNAPSHOT_LIFE
from gateway.visitor.codes import CODE_LIFE
from gateway.visitor.session import GATE_LIFE, VISITOR_LIFE
from gateway.worker import DEAD_KEPT_DAYS

ROOT = Path(__file__).resolve().parent.parent
OPERATIONS = ROOT / "docs" / "operations.md"
THREATS = ROOT / "docs" / "threat-model.md"
PRIVACY = ROOT / "docs" / "privacy.md"

# Each class of hole that systems like this one had.
CLASSES = (
    "The path judged is not the path sent",
    "An identity header under another spelling",
    "The client's address believed",
    "Request smuggling",
    "A hostile or dying backend",
    "One visitor's state reaching another",
    "Check, then act",
    "Guessing codes",
    "One factor marking another as passed",
    "Access outliving a revocation",
    "The token in logs, `Referer`, metrics, error pages, requests to the backend",
    "Open redirects, `Host` in a link",
    "A malformed cookie or header taking another branch",
    "Session fixation, CSRF on gates and console, framing",
    "Offline guessing of a password, timing of an unknown token",
    "Memory and time",
    "Health, metrics or debug open to visitors",
    "Mail abuse",
    "One tenant reaching another",
    "Another record through an allowed route",
    "A page of ours or an uploaded file driving another link",
    "An act whose record is missing",
    "A WebSocket opened without the rules, or from a foreign origin",
)


def rows(path: Path) -> Iterator[list[str]]:
    """The cells of every row of every table in a document."""
    for line in path.read_text().splitlines():
        if line.startswith("| "):
            # "\|" is a bar within a cell.
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def named(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


@cache
def first_cells() -> frozenset[str]:
    """Every name that a row of the operations guide is about."""
    return frozenset(name for cells in rows(OPERATIONS) for name in named(cells[0]))


def missing(wanted: set[str]) -> list[str]:
    """What no row of the operations guide is about."""
    return sorted(wanted - first_cells())


def test_every_setting_has_its_row() -> None:
    settings = set(known_settings())
    assert missing(settings) == []
    tables = {name.partition(".")[0] for name in settings if "." in name}
    dotted = {name for name in first_cells() if name.partition(".")[0] in tables and "." in name}
    assert sorted(dotted - settings) == [], "rows about settings that are not there"


def _defaults(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _defaults(value, f"{prefix}{name}.")
        elif isinstance(value, str | int | float | Path) and name != "url":
            yield f"{prefix}{name}", value


def _shown(value: object) -> str:
    """A default as the guide writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def test_every_default_is_the_one_that_is_told() -> None:
    told = {name: cells[1] for cells in rows(OPERATIONS) for name in named(cells[0])}
    settings = Settings.model_validate({"upstream": {"url": "http://127.0.0.1:1"}})
    wrong = {
        name: (told[name], _shown(value))
        for name, value in _defaults(settings)
        if not re.search(rf"(?<![\w.]){re.escape(_shown(value))}(?!\w)", told[name])
    }
    assert wrong == {}


def test_every_command_has_its_row() -> None:
    def names(commands: list[object]) -> list[str]:
        return [each.name or each.callback.__name__ for each in commands]  # type: ignore[attr-defined]

    commands = {*names([*app.registered_commands])}
    commands |= {f"key {name}" for name in names([*key_app.registered_commands])}
    told = " ".join(f"{name} " for name in first_cells())
    assert [each for each in sorted(commands) if f"portal-gateway {each} " not in told] == []


def test_every_metric_has_its_row_with_its_labels() -> None:
    wanted = set()
    for collector in Metrics().registry._names_to_collectors.values():
        if hasattr(collector, "_labelnames"):
            (family,) = collector.describe()
            ending = "_total" if family.type == "counter" else ""
            labels = ",".join(collector._labelnames)
            wanted.add(f"{family.name}{ending}" + (f"{{{labels}}}" if labels else ""))
    assert len(wanted) > 15
    assert missing(wanted) == []


def test_every_reason_has_its_row_with_its_status() -> None:
    assert missing({reason.value for reason in Reason} - {"ok"}) == []
    told = {}
    for cells in rows(OPERATIONS):
        reasons, statuses = named(cells[0]), cells[1].split(", ")
        told |= dict(zip(reasons, statuses * len(reasons), strict=False))
    wrong = {
        reason.value: told[reason.value]
        for reason, status in STATUS.items()
        if told[reason.value] != str(status)
    }
    assert wrong == {}


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("empty Redis", id="a restored database"),
        pytest.param("`X-Forwarded-For`", id="a balancer"),
        pytest.param("its own access log", id="the front proxy's log"),
        pytest.param("`portal-gateway migrate`", id="an upgrade"),
        pytest.param("rewrap", id="rotated keys"),
        pytest.param("/-/health/ready", id="health checks"),
        pytest.param("has to outlive the container", id="data_dir"),
    ],
)
def test_the_operations_guide_tells_of(words: str) -> None:
    assert words in " ".join(OPERATIONS.read_text().split())


def test_every_class_of_hole_has_its_row_and_its_tests() -> None:
    told = {cells[0]: cells for cells in rows(THREATS)}
    assert [name for name in CLASSES if name not in told] == []
    assert [name for name in CLASSES if not named(told[name][2])] == []


def test_every_test_that_is_named_exists() -> None:
    cited = {
        tuple(name.split("::"))
        for cells in rows(THREATS)
        for name in named(cells[-1])
        if "::" in name
    }
    assert len(cited) > 40
    assert sorted(pair for pair in cited if pair[1] not in functions_of(pair[0])) == []


@cache
def functions_of(path: str) -> frozenset[str]:
    """The names of the tests in a file below `tests`; none if there is no such file."""
    file = ROOT / "tests" / path
    if not file.is_file():
        return frozenset()
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def names_in_code(beginning: str, room: str = "") -> set[str]:
    """The names that a room of the gateway makes with this beginning, "…" for what differs."""
    texts: set[str] = set()
    for path in (ROOT / "gateway" / room).rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        made = [node.values for node in nodes if isinstance(node, ast.JoinedStr)]
        pieces = {id(piece) for values in made for piece in values}
        texts |= {"".join(map(_text_of, values)) for values in made}
        texts |= {
            _text_of(node)
            for node in nodes
            if isinstance(node, ast.Constant) and id(node) not in pieces
        }
    return {text for text in texts if re.fullmatch(rf"{beginning}[\w{{}}:…]*[\w…]", text)}


def _text_of(node: ast.AST) -> str:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return node.value if is_text else "…"  # type: ignore[attr-defined]


def told_of_privacy() -> set[str]:
    return {name for cells in rows(PRIVACY) for name in named(cells[0])}


def test_every_table_is_told_of_for_privacy() -> None:
    assert sorted(metadata.tables.keys() - told_of_privacy()) == []


def test_every_cookie_is_told_of_for_privacy() -> None:
    cookies = names_in_code("portal_", "visitor")
    assert {"portal_v", "portal_g_…", "portal_…"} <= cookies
    assert sorted(cookies - told_of_privacy()) == []


def test_every_kind_of_key_in_redis_is_told_of_for_privacy() -> None:
    keys = names_in_code("portal:")
    assert {"portal:{…}:failures", "portal:mark:…", "portal:changes"} <= keys
    assert sorted(keys - told_of_privacy()) == []


def test_every_header_about_the_visitor_is_told_of_for_privacy() -> None:
    text = PRIVACY.read_text()
    assert [
        name
        for name in ("X-Forwarded-For", "X-Portal-Visitor", "X-Portal-Email", "Sec-GPC")
        if f"`{name}" not in text
    ] == []


def test_what_is_kept_for_how_long_is_as_it_is_told() -> None:
    text = " ".join(PRIVACY.read_text().split())
    assert (GATE_LIFE, VISITOR_LIFE, CODE_LIFE) == (15 * 60, 400 * 86400, 600)
    assert (SNAPSHOT_LIFE, MAX_USER_AGENT, ThrottleSettings().window) == (7 * 86400, 512, 3600)
    for words in (
        "| 15 minutes |",
        "| 400 days.",
        "| ten minutes,",
        "| seven days |",
        "512",
        "an hour",
        f"{DEAD_KEPT_DAYS:.0f} days after a day of tries",
    ):
        assert words in text, words


@pytest.mark.parametrize("path", [OPERATIONS, THREATS, PRIVACY], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert [each for each in targets if not (path.parent / each).exists()] == []
