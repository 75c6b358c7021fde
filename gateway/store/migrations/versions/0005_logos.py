"""Logos: what links name, fetched once and served from here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "logos",
        sa.Column("url_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("wanted_at", sa.BigInteger(), nullable=False),
        sa.Column("next_try_at", sa.BigInteger(), nullable=False),
        sa.Column("kept_at", sa.BigInteger(), nullable=True),
        sa.Column("content_type", sa.String(32), nullable=True),
        sa.Column("content_hash", sa.String(64), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("url_hash", name="pk_logos"),
    )
    for columns in (["state", "next_try_at"], ["kept_at"], ["content_hash"]):
        op.create_index(f"ix_logos_{'_'.join(columns)}", "logos", columns)


def downgrade() -> None:
    op.drop_table("logos")
