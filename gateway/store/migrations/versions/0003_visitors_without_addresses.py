"""No mail address in the sets of visitors: they are there to count."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # As gateway.store.absorbing.visitor_key does it for new ones. A step of the schema's history
    # stands for itself, so it is said again here.
    visitors = sa.table("link_visitors", sa.column("link_id"), sa.column("visitor"))
    connection = op.get_bind()
    with_address = sa.select(visitors.c.link_id, visitors.c.visitor).where(
        visitors.c.visitor.contains("@")
    )
    for link_id, visitor in connection.execute(with_address).all():
        of_one = (visitors.c.link_id == link_id) & (visitors.c.visitor == visitor)
        digest = hashlib.sha256(visitor.encode()).hexdigest()[:32]
        connection.execute(sa.update(visitors).where(of_one).values(visitor=digest))


def downgrade() -> None:
    # The addresses are gone. An older version counts these visitors once more.
    pass
