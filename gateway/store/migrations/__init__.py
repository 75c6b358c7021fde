"""The schema's history (Alembic), run by the program itself: there is no alembic.ini.

A new step is a file in `versions/`, made so that both databases can take it, and so that the
program of the version before still runs on the schema of the version after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

SchemaState = Literal["empty", "older", "current", "newer"]


def schema_state(connection: Connection) -> SchemaState:
    """How the schema found at `connection` stands to the one that this program was made for.

    "newer" is one that this program does not know: it was written by a later version.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        return "empty"
    scripts = ScriptDirectory.from_config(_config())
    if found == scripts.get_current_head():
        return "current"
    known = {script.revision for script in scripts.walk_revisions()}
    return "older" if found in known else "newer"


def upgrade(connection: Connection) -> None:
    """Bring the schema to the newest revision, within `connection`'s transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    # ConfigParser reads "%" as the start of a name.
    folder = str(Path(__file__).parent).replace("%", "%%")
    config.set_main_option("script_location", folder)
    return config
