"""The program's own log: its two shapes, and that no token gets into it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from gateway.logs import ConsoleFormatter, JsonFormatter, configure_logs

TOKEN = "wpl_" + "Ab3" * 14


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    "formatter", [ConsoleFormatter(), JsonFormatter()], ids=["console", "json"]
)
def test_no_token_in_message_arguments_traceback_or_stack(formatter: logging.Formatter) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    log = logging.getLogger("test.redaction")
    log.propagate = False
    log.addHandler(handler)
    try:
        try:
            raise ValueError(f"bad path /workorder/{TOKEN}")
        except ValueError:
            log.exception("for %s: " + TOKEN, TOKEN, stack_info=True)
    finally:
        log.removeHandler(handler)
    written = stream.getvalue()
    assert TOKEN not in written
    assert "wpl_[redacted]" in written
    assert "ValueError" in written


def test_json_lines_where_nobody_watches() -> None:
    stream = io.StringIO()
    configure_logs(stream=stream)
    logging.getLogger("gateway.x").warning("two\nlines %d", 2)
    (line,) = stream.getvalue().splitlines()
    entry = json.loads(line)
    assert entry.pop("time").endswith("+00:00")
    assert entry == {"level": "warning", "logger": "gateway.x", "message": "two\nlines 2"}


def test_plain_lines_on_a_terminal() -> None:
    stream = Terminal()
    configure_logs(stream=stream)
    logging.getLogger("gateway.x").info("hello")
    assert stream.getvalue().endswith("INFO    gateway.x: hello\n")


def test_level_and_a_second_call() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logs("console", stream=first)
    configure_logs("console", "error", stream=second)
    logging.getLogger("gateway.x").warning("quiet")
    logging.getLogger("gateway.x").error("loud")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_libraries_do_not_tell_what_they_send() -> None:
    stream = io.StringIO()
    configure_logs("console", "debug", stream=stream)
    logging.getLogger("gateway.x").debug("ours")
    logging.getLogger("sqlalchemy.engine").info("SELECT secret")
    logging.getLogger("aiosqlite").debug("executing")
    assert stream.getvalue().endswith("ours\n")
    assert stream.getvalue().count("\n") == 1
