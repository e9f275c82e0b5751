"""Workers on other machines: who has a job, its stages, who is there, and bytes that are to go.

Sizes and counters are 64 bits wide, which on SQLite all whole numbers are.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WIDE = (
    ("uploads", "bytes"),
    ("uploads", "received_bytes"),
    ("jobs", "seq"),
    ("job_files", "bytes"),
    ("job_events", "id"),
)


def upgrade() -> None:
    """To this version."""
    op.add_column("jobs", sa.Column("worker", sa.String(length=200), nullable=True))
    op.add_column("uploads", sa.Column("node", sa.String(length=200), nullable=True))
    _resize(sa.BigInteger())
    op.create_table(
        "job_stages",
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("worker", sa.String(length=200), nullable=True),
        sa.Column("order", sa.JSON(), nullable=True),
        sa.Column("claim", sa.String(length=40), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job", "name"),
    )
    op.create_index("ix_job_stages_state", "job_stages", ["state"])
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "condemned",
        sa.Column("blob", sa.String(length=64), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("deleted_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("blob"),
    )
    op.create_index("ix_condemned_deleted_at", "condemned", ["deleted_at"])


def downgrade() -> None:
    """Back from it."""
    op.drop_table("condemned")
    op.drop_table("workers")
    op.drop_table("job_stages")
    _resize(sa.Integer())
    op.drop_column("uploads", "node")
    op.drop_column("jobs", "worker")


def _resize(to: sa.types.TypeEngine[int]) -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table, column in _WIDE:
            op.alter_column(table, column, type_=to)
