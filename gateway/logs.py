"""The program's own log, on stderr: lines for people on a terminal, JSON lines otherwise.

Nobody writes a token into the log on purpose. A library might, in an exception's text; so every
finished line, traceback and all, goes through `redact` as the last line of defence.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

from gateway.request.token import redact

LogFormat = Literal["auto", "console", "json"]

OWN_LOGGERS = ("gateway", "admin_api", "config")


class ConsoleFormatter(logging.Formatter):
    """One line for people: the time of day, the level, who says it, the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, redacted."""
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a record: `time` (ISO 8601, UTC), `level`, `logger`, `message`, `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON, redacted."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            entry["stack"] = record.stack_info
        # Redacted before it is encoded: an escape in the JSON could hide the beginning of one.
        return json.dumps({key: redact(value) for key, value in entry.items()}, ensure_ascii=False)


def configure_logs(
    log_format: LogFormat = "auto", level: str = "info", stream: TextIO | None = None
) -> None:
    """Send everything of `level` and above to `stream` (stderr), and nothing anywhere else."""
    stream = sys.stderr if stream is None else stream
    if log_format == "auto":
        log_format = "console" if stream.isatty() else "json"
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ConsoleFormatter() if log_format == "console" else JsonFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    # A library's lines below a warning hold what is sent (request lines, SQL), cost time on each
    # request, and tell an operator nothing.
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    for name in OWN_LOGGERS:
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(True)
