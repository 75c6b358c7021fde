"""The tables of the first release; what they are for is told in gateway.store.schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _create_links()
    _create_rows_of_links()
    _create_access_log()
    _create_keys()
    _create_changes()


def downgrade() -> None:
    for table in (
        "journal_positions",
        "changes",
        "change_counter",
        "api_keys",
        "access_log",
        "link_visitors",
        "link_uses",
        "link_usage",
        "link_namespaces",
        "links",
    ):
        op.drop_table(table)


def _create_links() -> None:
    op.create_table(
        "links",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("token_sealed", sa.Text(), nullable=False),
        sa.Column(
            "workorder",
            sa.String(128).with_variant(sa.String(128, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("link_type", sa.String(16), nullable=False),
        sa.Column("permissions", sa.JSON(), nullable=False),
        sa.Column("allowed_ips", sa.JSON(), nullable=False),
        sa.Column("max_uses", sa.BigInteger(), nullable=False),
        sa.Column("password_protected", sa.Boolean(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("require_email_verification", sa.Boolean(), nullable=False),
        sa.Column("allowed_emails", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("access_version", sa.BigInteger(), nullable=False),
        sa.Column("custom_domain", sa.String(255), nullable=True),
        sa.Column("branding", sa.JSON(), nullable=False),
        sa.Column("notifications", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=True),
        sa.Column("purpose", sa.Text(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("sv_client", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("modified_at", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_links"),
        sa.UniqueConstraint("token_hash", name="uq_links_token_hash"),
    )
    for column in (
        "created_at",
        "modified_at",
        "expires_at",
        "workorder",
        "link_type",
        "is_active",
    ):
        op.create_index(f"ix_links_{column}_id", "links", [column, "id"])
    op.create_index(
        "ix_links_custom_domain_created_at_id", "links", ["custom_domain", "created_at", "id"]
    )


def _create_rows_of_links() -> None:
    op.create_table(
        "link_namespaces",
        *_owner("link_namespaces"),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("namespace", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("link_id", "position", name="pk_link_namespaces"),
    )
    op.create_index(
        "ix_link_namespaces_namespace_link_id", "link_namespaces", ["namespace", "link_id"]
    )
    op.create_table(
        "link_usage",
        *_owner("link_usage"),
        sa.Column("total_views", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("unique_visitors", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("uses", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_accessed", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("link_id", name="pk_link_usage"),
    )
    op.create_index("ix_link_usage_total_views_link_id", "link_usage", ["total_views", "link_id"])
    op.create_index(
        "ix_link_usage_last_accessed_link_id", "link_usage", ["last_accessed", "link_id"]
    )
    op.create_table(
        "link_uses",
        *_owner("link_uses"),
        sa.Column("session_id", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("link_id", "session_id", name="pk_link_uses"),
    )
    op.create_table(
        "link_visitors",
        sa.Column("link_id", sa.String(24), nullable=False),
        sa.Column("visitor", sa.String(320), nullable=False),
        sa.PrimaryKeyConstraint("link_id", "visitor", name="pk_link_visitors"),
    )


def _owner(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return (
        sa.Column("link_id", sa.String(24), nullable=False),
        sa.ForeignKeyConstraint(
            ["link_id"], ["links.id"], name=f"fk_{table}_link_id", ondelete="CASCADE"
        ),
    )


def _create_access_log() -> None:
    op.create_table(
        "access_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("link_id", sa.String(24), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("visitor", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("bot", sa.Boolean(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_access_log"),
    )
    op.create_index("ix_access_log_link_id_at_id", "access_log", ["link_id", "at", "id"])
    op.create_index("ix_access_log_at", "access_log", ["at"])
    op.create_table(
        "journal_positions",
        sa.Column("journal_id", sa.String(64), nullable=False),
        sa.Column("segment", sa.BigInteger(), nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal_id", name="pk_journal_positions"),
    )


def _create_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(24), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("namespaces", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("last_used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("key_hash", name="uq_api_keys_key_hash"),
    )


def _create_changes() -> None:
    counter = op.create_table(
        "change_counter",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_change_counter"),
    )
    op.bulk_insert(counter, [{"id": 1, "value": 0}])
    op.create_table(
        "changes",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("link_id", sa.String(24), nullable=False),
        sa.Column("token_hashes", sa.LargeBinary(), nullable=False),
        sa.Column("domains", sa.Boolean(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_changes"),
    )
    op.create_index("ix_changes_at", "changes", ["at"])
