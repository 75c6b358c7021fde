"""The house: an import leads down the stairs, and what is pure stays pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT

# The floors, from the ground up. Within a floor that is a list, a room may use those before it.
FLOORS: list[list[str]] = [
    [
        "gateway.links.verdict",
        "gateway.errors",
        "gateway.backoff",
        "gateway.links",
        "gateway.bodies",
        "gateway.request",
        "config.values",
        "config.models",
        "config.settings_error",
    ],
    [
        "gateway.languages",
        "gateway.outbound",
        "gateway.metrics",
        "gateway.crypto",
        "gateway.store",
        "gateway.branding",
        "gateway.journal",
        "gateway.notify",
        "gateway.proxy",
    ],
    ["gateway.visitor", "gateway.pages", "gateway.refusals"],
    [
        "gateway.listener",
        "gateway.steps",
        "gateway.handler",
        "gateway.health",
        "gateway.worker",
        "gateway.systemd",
        "admin_api",
    ],
    [
        "config",
        "gateway.logs",
        "gateway.upkeep",
        "gateway.probe",
        "gateway.check",
        "gateway.explain",
        "gateway.app",
        "gateway.demo",
        "gateway.cli",
    ],
]
ROOMS = {
    room: (floor, place) for floor, rooms in enumerate(FLOORS) for place, room in enumerate(rooms)
}

ADMIN_MAY_USE = 1
PURE = [
    *(ROOT / "gateway" / "links").glob("*.py"),
    *(ROOT / "gateway" / "bodies").glob("*.py"),
    *(ROOT / "gateway" / "request").glob("*.py"),
    *(
        ROOT / "gateway" / "proxy" / f"{name}.py"
        for name in (
            "headers",
            "cookies",
            "set_cookie",
            "cookie_date",
            "answers",
            "destinations",
            "caching",
            "framing",
            "answer_head",
        )
    ),
    ROOT / "gateway" / "errors.py",
    ROOT / "gateway" / "backoff.py",
    ROOT / "gateway" / "languages" / "negotiation.py",
    ROOT / "gateway" / "outbound" / "addresses.py",
]
IMPURE_MODULES = {
    "asyncio", "socket", "ssl", "time", "random", "secrets", "uuid", "os", "io", "pathlib", "subprocess",
    "threading", "tempfile", "shutil", "logging", "aiohttp", "redis", "sqlalchemy", "urllib.request",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today"}


def modules() -> Iterator[tuple[str, Path]]:
    for top in ("gateway", "admin_api", "config"):
        for path in sorted((ROOT / top).rglob("*.py")):
            if "migrations" in path.parts:
                continue
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def room_of(module: str) -> str | None:
    return next(
        (
            room
            for room in sorted(ROOMS, key=len, reverse=True)
            if module == room or module.startswith(room + ".")
        ),
        None,
    )


def is_module(name: str) -> bool:
    path = SOURCE.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module is not None
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if is_module(inner) else node.module


def faults_of(module: str, path: Path) -> list[str]:
    room = room_of(module)
    if room is None:
        return [] if module in {"gateway", "config"} else [f"{module} has no place in the house"]
    faults = []
    for line, imported in imports_of(path):
        target = room_of(imported)
        if target is None or target == room:
            continue
        if room == "admin_api" and ROOMS[target][0] > ADMIN_MAY_USE:
            faults.append(f"{path.name}:{line}: admin_api uses {imported}")
        elif ROOMS[target] > ROOMS[room]:
            faults.append(
                f"{path.relative_to(ROOT)}:{line}: {room} imports {imported}, which stands above it"
            )
    return faults


def test_imports_lead_down() -> None:
    faults = [fault for module, path in modules() for fault in faults_of(module, path)]
    assert faults == []


def uses_of_the_root(module: str, path: Path) -> list[str]:
    """The imports of the composition root and the command line that `module` has no right to.

    The command line and the demo may ask for the root's own name, and for no room within it.
    """
    own = room_of(module)
    granted = {"gateway.app"} if module in {"gateway.cli", "gateway.demo.run"} else set()
    return [
        f"{module} imports {imported}"
        for _, imported in imports_of(path)
        if room_of(imported) in {"gateway.app", "gateway.cli"}
        and room_of(imported) != own
        and imported not in granted
    ]


def test_the_composition_root_is_imported_by_nothing() -> None:
    assert [use for module, path in modules() for use in uses_of_the_root(module, path)] == []


@pytest.mark.parametrize(
    ("source", "module"),
    [
        pytest.param("from gateway.app import serve", "gateway.check", id="another command"),
        pytest.param("from gateway.app.stores import Stores", "gateway.demo.run", id="the inside"),
        pytest.param("from gateway.app import stores", "gateway.cli", id="the inside as a module"),
        pytest.param("import gateway.cli", "gateway.app.serving", id="the command line"),
    ],
)
def test_a_use_of_the_composition_root_is_noticed(tmp_path: Path, source: str, module: str) -> None:
    path = tmp_path / "new.py"
    path.write_text(source)
    assert uses_of_the_root(module, path) != []


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_pure_modules_have_no_clock_no_randomness_no_io(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {name.split(".")[0] for _, name in imports_of(path)} | {
        name for _, name in imports_of(path)
    }
    assert imported & IMPURE_MODULES == set()
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
        if isinstance(node, ast.Call):
            name = (
                node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            )
            assert name not in IMPURE_CALLS, f"line {node.lineno}: {name}()"


def test_only_the_loader_and_the_command_line_read_the_environment() -> None:
    allowed = {
        "config.load",
        "gateway.cli",
        "gateway.logs",
        "gateway.listener.sockets",
        "gateway.systemd",
    }
    readers = {
        module
        for module, path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"})
    }
    assert readers <= allowed


@pytest.mark.parametrize(
    ("source", "module"),
    [
        pytest.param("import gateway.handler", "gateway.links.new", id="links uses the handler"),
        pytest.param(
            "from gateway.request import path", "gateway.links.new", id="links uses request"
        ),
        pytest.param(
            "from gateway.proxy import forward", "gateway.store.new", id="a later adapter"
        ),
        pytest.param(
            "from gateway.refusals import STATUS", "admin_api.new", id="admin uses floor 2"
        ),
    ],
)
def test_a_rising_import_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, module: str
) -> None:
    monkeypatch.setattr("tests.test_architecture.ROOT", tmp_path)
    path = tmp_path / "new.py"
    path.write_text(source)
    assert faults_of(module, path) != []


def unnamed_modules(package: Path) -> list[str]:
    """The modules of a package that its docstring does not name."""
    told = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    words = set(re.findall(r"\w+", told))
    return [
        path.stem
        for path in sorted(package.glob("*.py"))
        if path.stem not in words and not path.stem.startswith("__")
    ]


# The house's own docstring tells a request's way, and not what stands beside it.
PACKAGES = [
    path.parent
    for top in ("gateway", "admin_api", "config")
    for path in sorted((ROOT / top).rglob("__init__.py"))
    if path.parent != ROOT / "gateway" and "migrations" not in path.parts
]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_says_what_its_parts_are(package: Path) -> None:
    assert unnamed_modules(package) == []


def test_a_module_that_its_package_does_not_name_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text('"""old  what was there before."""')
    for name in ("old", "new"):
        (tmp_path / f"{name}.py").touch()
    assert unnamed_modules(tmp_path) == ["new"]
