"""The way back, drills, strays, and what incidents and imports need"""

import sqlalchemy as sa
from alembic import op

from services.store.column_types import Json, UtcDateTime

# An imported deployment is history: it never holds a slot.
LIVE = "state = 'succeeded' AND superseded_at IS NULL AND external_id IS NULL"

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "stray",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("alias", sa.String(), nullable=False),
        sa.Column("says", sa.Text(), server_default="", nullable=False),
        sa.Column("should_say", sa.Text(), server_default="", nullable=False),
        sa.Column("finding", sa.Text(), server_default="", nullable=False),
        sa.Column("found_at", UtcDateTime(), nullable=False),
        sa.Column("choice", sa.Text(), server_default="", nullable=False),
        sa.Column("chosen_by", sa.Text(), server_default="", nullable=False),
        sa.Column("chosen_at", UtcDateTime(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("trouble", sa.Text(), server_default="", nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_stray_slot", "stray", ["application", "stage", "closed_at"], unique=False)
    op.create_table(
        "preflight",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("bundle_id", sa.Integer(), nullable=False),
        sa.Column("against_bundle_id", sa.Integer(), nullable=True),
        sa.Column("answer", sa.Text(), server_default="", nullable=False),
        sa.Column("findings", Json, nullable=False),
        sa.Column("looked_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.ForeignKeyConstraint(
            ["bundle_id"],
            ["bundle.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("application", "stage", "bundle_id"),
    )
    op.create_index(op.f("ix_preflight_bundle_id"), "preflight", ["bundle_id"], unique=False)
    op.create_table(
        "drill",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("from_bundle_id", sa.Integer(), nullable=False),
        sa.Column("to_bundle_id", sa.Integer(), nullable=False),
        sa.Column("back_promotion_id", sa.Integer(), nullable=True),
        sa.Column("forward_promotion_id", sa.Integer(), nullable=True),
        sa.Column("back_seconds", sa.Float(), nullable=True),
        sa.Column("forward_seconds", sa.Float(), nullable=True),
        sa.Column("outcome", sa.Text(), server_default="", nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.ForeignKeyConstraint(
            ["back_promotion_id"],
            ["promotion.id"],
        ),
        sa.ForeignKeyConstraint(
            ["forward_promotion_id"],
            ["promotion.id"],
        ),
        sa.ForeignKeyConstraint(
            ["from_bundle_id"],
            ["bundle.id"],
        ),
        sa.ForeignKeyConstraint(
            ["to_bundle_id"],
            ["bundle.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_drill_slot", "drill", ["application", "stage", "id"], unique=False)
    op.create_table(
        "mover",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("deployment_id", sa.Integer(), nullable=False),
        sa.Column("began_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployment.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_mover_deployment_id"), "mover", ["deployment_id"], unique=False)
    op.create_index(op.f("ix_mover_owner"), "mover", ["owner"], unique=False)
    op.add_column("deployment", sa.Column("drill", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("deployment", sa.Column("adopted", sa.Boolean(), server_default=sa.false(), nullable=False))
    kinds = sa.Enum(
        "release",
        "redeploy",
        "rollback",
        "repromotion",
        "hotfix",
        "retrain",
        name="deploymentkind",
        native_enum=False,
        length=20,
    )
    op.add_column("deployment", sa.Column("declared_kind", kinds, nullable=True))
    op.create_index(op.f("ix_deployment_declared_kind"), "deployment", ["declared_kind"], unique=False)
    op.add_column("deployment", sa.Column("external_id", sa.String(), nullable=True))
    op.create_index("uq_deployment_external", "deployment", ["application", "external_id"], unique=True)
    op.add_column("incident", sa.Column("done", sa.Text(), server_default="", nullable=False))
    op.add_column("incident", sa.Column("caught_by", sa.Text(), server_default="", nullable=False))
    op.add_column("incident", sa.Column("external_id", sa.String(), nullable=True))
    op.create_index("uq_incident_external", "incident", ["application", "external_id"], unique=True)
    op.add_column("promotion", sa.Column("override", sa.Text(), server_default="", nullable=False))
    op.add_column("promotion", sa.Column("adopted", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("promotion", sa.Column("drill", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.drop_index("uq_live_deployment", "deployment")
    op.create_index(
        "uq_live_deployment",
        "deployment",
        ["application", "stage"],
        unique=True,
        sqlite_where=sa.text(LIVE),
        postgresql_where=sa.text(LIVE),
    )
