"""The tables, for SQLite and PostgreSQL alike.

Every time is a BIGINT of microseconds since the epoch (UTC): exact, ordered, and the same on both
databases. Two columns hold a bound in place of NULL, so that one index serves both directions of
a sort and `max()` needs no special case: a link that never expires has `expires_at = NEVER_ENDS`
and sorts after every date, a link or key that was never used has `NOT_YET` and sorts before.

links              one row a link; `token_sealed` is ciphertext, `token_hash` finds the link.
                   Lists and small objects are JSON. `custom_domain` and the namespaces are
                   searched, so they are columns and rows of their own.
link_namespaces    the company namespaces of a link, in the owner's order
link_usage         the counters of a link; made with the link, so the row is always there. `uses`
                   belongs to gateway.store.uses, the rest to gateway.store.absorbing
link_uses          one row a spent use: which session spent it
link_visitors      one row a distinct visitor of a link
access_log         one row a decision; without a foreign key, for it outlives the link
api_keys           the admin API's keys, as hashes
change_counter     one row: the number of the newest change (gateway.store.changes)
changes            what each number changed; `token_hashes` is hashes of 32 bytes, end to end
journal_positions  how far each gateway's journal is stored: `segment` and `byte_offset` in it
outbox             one row a mail that has not left yet (gateway.store.outbox); `sealed` is ciphertext.
                   Without a foreign key, for it outlives the link
notification_events  what somebody wants to be told of and has not been yet; `is_posted` once its
                   webhooks are entered (gateway.store.events). No foreign key, as above
webhook_deliveries  one row a webhook that has not arrived (gateway.store.deliveries); `sealed` is
                   ciphertext, and `state` says whether it is still tried
logos              one row a logo's URL that a link has named (gateway.store.logos): `body` is its
                   bytes once they have been fetched. Links name it by the URL, in `branding`

Locks are taken in this order, everywhere: change_counter, links, link_usage, the rest; several
rows of one table by ascending link id. `link_visitors` has no foreign key because checking one
locks the link's row, which whoever counts visitors would then hold after link_usage.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

# The largest BIGINT: later than any date that can be written.
NEVER_ENDS = 2**63 - 1
# The epoch: earlier than anything that this program has seen.
NOT_YET = 0


def to_microseconds(seconds: float) -> int:
    """Seconds since the epoch as a column's value; rounded, so that reading it back is exact."""
    return round(seconds * 1_000_000)


def to_seconds(microseconds: int) -> float:
    """A column's value as seconds since the epoch."""
    return microseconds / 1_000_000


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up by itself only in a column that is called INTEGER.
_Serial = BigInteger().with_variant(Integer(), "sqlite")
# Compared byte by byte, as SQLite does, whatever the PostgreSQL database's own collation is: the
# same list is in the same order on both.
_Ordered = String(128).with_variant(String(128, collation="C"), "postgresql")
_LinkId = String(24)


def _owner() -> Column[str]:
    """The link that a row belongs to and goes with."""
    return Column("link_id", _LinkId, ForeignKey("links.id", ondelete="CASCADE"), primary_key=True)


links = Table(
    "links",
    metadata,
    Column("id", _LinkId, primary_key=True),
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("token_sealed", Text, nullable=False),
    Column("workorder", _Ordered, nullable=False),
    Column("link_type", String(16), nullable=False),
    Column("permissions", JSON, nullable=False),
    Column("allowed_ips", JSON, nullable=False),
    Column("max_uses", BigInteger, nullable=False),
    Column("password_protected", Boolean, nullable=False),
    Column("password_hash", Text),
    Column("require_email_verification", Boolean, nullable=False),
    Column("allowed_emails", JSON, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("access_version", BigInteger, nullable=False),
    Column("custom_domain", String(255)),
    Column("branding", JSON, nullable=False),
    Column("notifications", JSON, nullable=False),
    Column("created_by", Text),
    Column("purpose", Text),
    Column("tags", JSON, nullable=False),
    Column("sv_client", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("modified_at", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    UniqueConstraint("token_hash"),
    # One for each filter and sort of the list. The id breaks ties, so a page never shifts.
    Index(None, "created_at", "id"),
    Index(None, "modified_at", "id"),
    Index(None, "expires_at", "id"),
    Index(None, "workorder", "id"),
    Index(None, "link_type", "id"),
    Index(None, "is_active", "id"),
    Index(None, "custom_domain", "created_at", "id"),
)

link_namespaces = Table(
    "link_namespaces",
    metadata,
    _owner(),
    Column("position", Integer, primary_key=True),
    Column("namespace", String(255), nullable=False),
    Index(None, "namespace", "link_id"),
)

link_usage = Table(
    "link_usage",
    metadata,
    _owner(),
    Column("total_views", BigInteger, nullable=False, server_default="0"),
    Column("unique_visitors", BigInteger, nullable=False, server_default="0"),
    Column("uses", BigInteger, nullable=False, server_default="0"),
    Column("last_accessed", BigInteger, nullable=False, server_default="0"),
    Index(None, "total_views", "link_id"),
    Index(None, "last_accessed", "link_id"),
)

link_uses = Table(
    "link_uses",
    metadata,
    _owner(),
    Column("session_id", String(64), primary_key=True),
    Column("at", BigInteger, nullable=False),
)

link_visitors = Table(
    "link_visitors",
    metadata,
    Column("link_id", _LinkId, primary_key=True),
    Column("visitor", String(320), primary_key=True),
)

access_log = Table(
    "access_log",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("link_id", _LinkId, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("address", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("visitor", Text, nullable=False),
    Column("email", Text),
    Column("bot", Boolean, nullable=False),
    Column("request_id", Text, nullable=False),
    # Newest first within a link, and the oldest of all for the retention.
    Index(None, "link_id", "at", "id"),
    Index(None, "at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("key_hash", LargeBinary(32), nullable=False),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("namespaces", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
    UniqueConstraint("key_hash"),
)

change_counter = Table(
    "change_counter",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)

changes = Table(
    "changes",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("link_id", _LinkId, nullable=False),
    Column("token_hashes", LargeBinary, nullable=False),
    Column("domains", Boolean, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "at"),
)

journal_positions = Table(
    "journal_positions",
    metadata,
    Column("journal_id", String(64), primary_key=True),
    Column("segment", BigInteger, nullable=False),
    Column("byte_offset", BigInteger, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("link_id", _LinkId, nullable=False),
    Column("topic", String(128)),
    Column("message_id", Text, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index(None, "next_try_at"),
    Index(None, "topic"),
)

notification_events = Table(
    "notification_events",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("link_id", _LinkId, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("address", Text, nullable=False),
    Column("email", Text),
    Column("request_id", Text, nullable=False),
    Column("is_posted", Boolean, nullable=False, server_default=false()),
    Index(None, "link_id", "at"),
    Index(None, "is_posted"),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("webhook", String(255), nullable=False),
    Column("link_id", _LinkId, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("sealed", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),
    Column("status", Integer),
    Column("failure", Text),
    Index(None, "state", "next_try_at"),
    Index(None, "created_at", "id"),
    Index(None, "webhook"),
    Index(None, "link_id"),
)

logos = Table(
    "logos",
    metadata,
    Column("url_hash", LargeBinary(32), primary_key=True),
    Column("url", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("wanted_at", BigInteger, nullable=False),
    Column("next_try_at", BigInteger, nullable=False),
    Column("kept_at", BigInteger),
    Column("content_type", String(32)),
    Column("content_hash", String(64)),
    Column("body", LargeBinary),
    Column("problem", Text),
    Index(None, "state", "next_try_at"),
    Index(None, "kept_at"),
    Index(None, "content_hash"),
)
