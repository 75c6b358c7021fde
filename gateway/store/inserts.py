"""An INSERT that leaves a row alone which is there already."""

from __future__ import annotations

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


def insert_absent(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Both databases spell ON CONFLICT DO NOTHING alike; SQLAlchemy's core does not know it."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()
