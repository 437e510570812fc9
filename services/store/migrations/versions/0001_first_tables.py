"""The first tables"""

import sqlalchemy as sa
from alembic import op

from services.store.column_types import Json, UtcDateTime

GENESIS = "sha256:" + "0" * 64

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "application",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("owner", sa.Text(), server_default="", nullable=False),
        sa.Column("policy_revision", sa.Integer(), nullable=True),
        sa.Column("next_bundle", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "audit_event",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("body", sa.Text(), server_default="", nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index(op.f("ix_audit_event_action"), "audit_event", ["action"], unique=False)
    op.create_index(op.f("ix_audit_event_actor"), "audit_event", ["actor"], unique=False)
    op.create_index(op.f("ix_audit_event_application"), "audit_event", ["application"], unique=False)
    op.create_index(op.f("ix_audit_event_at"), "audit_event", ["at"], unique=False)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "person",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("display", sa.Text(), server_default="", nullable=False),
        sa.Column("roles", Json, nullable=False),
        sa.Column("sample", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("beat_at", UtcDateTime(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "bundle",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("label", sa.Text(), server_default="", nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("maker", sa.Text(), server_default="", nullable=False),
        sa.Column("source", sa.Text(), server_default="", nullable=False),
        sa.Column("summary", sa.Text(), server_default="", nullable=False),
        sa.Column("gaps", Json, nullable=False),
        sa.Column("metrics", Json, nullable=False),
        sa.Column("parameters", Json, nullable=False),
        sa.Column("training_started_at", UtcDateTime(), nullable=True),
        sa.Column("training_ended_at", UtcDateTime(), nullable=True),
        sa.Column("registered_at", UtcDateTime(), nullable=True),
        sa.Column("registry_version", sa.String(), nullable=True),
        sa.Column("quarantined_at", UtcDateTime(), nullable=True),
        sa.Column("quarantined_by", sa.Text(), server_default="", nullable=False),
        sa.Column("quarantine_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("application", "digest"),
        sa.UniqueConstraint("application", "number"),
    )
    op.create_index(op.f("ix_bundle_application"), "bundle", ["application"], unique=False)
    op.create_index(op.f("ix_bundle_at"), "bundle", ["at"], unique=False)
    op.create_table(
        "policy_revision",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("toml", sa.Text(), server_default="", nullable=False),
        sa.Column("directory", sa.Text(), server_default="", nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("application", "number"),
    )
    op.create_table(
        "slot",
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("live_deployment_id", sa.Integer(), nullable=True),
        sa.Column("pending_deployment_id", sa.Integer(), nullable=True),
        sa.Column("lease_owner", sa.Text(), server_default="", nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("hold_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("hold_by", sa.Text(), server_default="", nullable=False),
        sa.Column("hold_since", UtcDateTime(), nullable=True),
        sa.Column("freeze_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("freeze_by", sa.Text(), server_default="", nullable=False),
        sa.Column("freeze_from", UtcDateTime(), nullable=True),
        sa.Column("freeze_until", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.PrimaryKeyConstraint("application", "stage"),
    )
    op.create_table(
        "bundle_commit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("bundle_id", sa.Integer(), nullable=False),
        sa.Column("sha", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["bundle_id"],
            ["bundle.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_bundle_commit_bundle_id"), "bundle_commit", ["bundle_id"], unique=False)
    op.create_table(
        "component",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("bundle_id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "model", "dataset", "prompt", "code", "environment", name="componentkind", native_enum=False, length=20
            ),
            nullable=False,
        ),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("uri", sa.Text(), server_default="", nullable=False),
        sa.Column("digest", sa.Text(), server_default="", nullable=False),
        sa.Column("details", Json, nullable=False),
        sa.ForeignKeyConstraint(
            ["bundle_id"],
            ["bundle.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("bundle_id", "kind", "name"),
    )
    op.create_index(op.f("ix_component_bundle_id"), "component", ["bundle_id"], unique=False)
    op.create_index(op.f("ix_component_kind"), "component", ["kind"], unique=False)
    op.create_table(
        "promotion",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("bundle_id", sa.Integer(), nullable=False),
        sa.Column("rollback", sa.Boolean(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column(
            "phase",
            sa.Enum(
                "requested",
                "gating",
                "awaiting_approval",
                "deploying",
                "succeeded",
                "blocked",
                "failed",
                "rejected",
                "expired",
                "withdrawn",
                "superseded",
                name="phase",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("policy_revision", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("planned", sa.Boolean(), nullable=False),
        sa.Column(
            "declared_kind",
            sa.Enum(
                "release",
                "redeploy",
                "rollback",
                "repromotion",
                "hotfix",
                "retrain",
                name="deploymentkind",
                native_enum=False,
                length=20,
            ),
            nullable=True,
        ),
        sa.Column("fixes", sa.Text(), server_default="", nullable=False),
        sa.Column("blames", sa.Integer(), nullable=True),
        sa.Column("approval_opened_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.ForeignKeyConstraint(
            ["bundle_id"],
            ["bundle.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("idempotency_key"),
    )
    op.create_index(op.f("ix_promotion_bundle_id"), "promotion", ["bundle_id"], unique=False)
    op.create_index(op.f("ix_promotion_declared_kind"), "promotion", ["declared_kind"], unique=False)
    op.create_index(op.f("ix_promotion_phase"), "promotion", ["phase"], unique=False)
    op.create_index("ix_promotion_slot", "promotion", ["application", "stage", "id"], unique=False)
    op.create_index(
        "uq_active_promotion",
        "promotion",
        ["application", "stage"],
        unique=True,
        sqlite_where=sa.text("phase IN ('requested','gating','awaiting_approval','deploying')"),
        postgresql_where=sa.text("phase IN ('requested','gating','awaiting_approval','deploying')"),
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("promotion_id", sa.Integer(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column(
            "decision", sa.Enum("approved", "rejected", name="decision", native_enum=False, length=20), nullable=False
        ),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("self_approved", sa.Boolean(), nullable=False),
        sa.Column("evidence_digest", sa.String(), nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["promotion_id"],
            ["promotion.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("promotion_id", "person", "evidence_digest", "decision"),
    )
    op.create_index(op.f("ix_approval_decision"), "approval", ["decision"], unique=False)
    op.create_index(op.f("ix_approval_promotion_id"), "approval", ["promotion_id"], unique=False)
    op.create_table(
        "deployment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("bundle_id", sa.Integer(), nullable=False),
        sa.Column("promotion_id", sa.Integer(), nullable=True),
        sa.Column(
            "state",
            sa.Enum("started", "succeeded", "failed", "aborted", name="deploymentstate", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column(
            "kind",
            sa.Enum(
                "release",
                "redeploy",
                "rollback",
                "repromotion",
                "hotfix",
                "retrain",
                name="deploymentkind",
                native_enum=False,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("planned", sa.Boolean(), nullable=False),
        sa.Column("fixes", sa.Text(), server_default="", nullable=False),
        sa.Column("blames", sa.Integer(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column("superseded_at", UtcDateTime(), nullable=True),
        sa.Column("writing_since", UtcDateTime(), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("policy_revision", sa.Integer(), nullable=False),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.ForeignKeyConstraint(
            ["bundle_id"],
            ["bundle.id"],
        ),
        sa.ForeignKeyConstraint(
            ["promotion_id"],
            ["promotion.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_deployment_bundle_id"), "deployment", ["bundle_id"], unique=False)
    op.create_index("ix_deployment_finished", "deployment", ["stage", "finished_at"], unique=False)
    op.create_index(op.f("ix_deployment_kind"), "deployment", ["kind"], unique=False)
    op.create_index(op.f("ix_deployment_promotion_id"), "deployment", ["promotion_id"], unique=False)
    op.create_index("ix_deployment_slot", "deployment", ["application", "stage", "id"], unique=False)
    op.create_index(op.f("ix_deployment_state"), "deployment", ["state"], unique=False)
    op.create_index(
        "uq_live_deployment",
        "deployment",
        ["application", "stage"],
        unique=True,
        sqlite_where=sa.text("state = 'succeeded' AND superseded_at IS NULL"),
        postgresql_where=sa.text("state = 'succeeded' AND superseded_at IS NULL"),
    )
    op.create_index(
        "uq_started_deployment",
        "deployment",
        ["application", "stage"],
        unique=True,
        sqlite_where=sa.text("state = 'started'"),
        postgresql_where=sa.text("state = 'started'"),
    )
    op.create_table(
        "gate_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("bundle_id", sa.Integer(), nullable=False),
        sa.Column("promotion_id", sa.Integer(), nullable=True),
        sa.Column("gate", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("mode", sa.Enum("enforce", "shadow", name="gatemode", native_enum=False, length=20), nullable=False),
        sa.Column("definition_digest", sa.String(), nullable=False),
        sa.Column("policy_revision", sa.Integer(), nullable=False),
        sa.Column("live_bundle_id", sa.Integer(), nullable=True),
        sa.Column(
            "state",
            sa.Enum("queued", "running", "finished", name="runstate", native_enum=False, length=20),
            nullable=False,
        ),
        sa.Column("progress", sa.Text(), server_default="", nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lease_owner", sa.Text(), server_default="", nullable=False),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("requested_by", sa.String(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("finished_at", UtcDateTime(), nullable=True),
        sa.Column(
            "verdict",
            sa.Enum(
                "passed", "failed", "inconclusive", "errored", "skipped", name="verdict", native_enum=False, length=20
            ),
            nullable=True,
        ),
        sa.Column("summary", sa.Text(), server_default="", nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.Column("warnings", Json, nullable=False),
        sa.Column("data_digest", sa.Text(), server_default="", nullable=False),
        sa.Column("waived_by", sa.Text(), server_default="", nullable=False),
        sa.Column("waived_at", UtcDateTime(), nullable=True),
        sa.Column("waive_reason", sa.Text(), server_default="", nullable=False),
        sa.Column("decision", sa.Text(), server_default="", nullable=False),
        sa.Column("decided_by", sa.Text(), server_default="", nullable=False),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.ForeignKeyConstraint(
            ["bundle_id"],
            ["bundle.id"],
        ),
        sa.ForeignKeyConstraint(
            ["promotion_id"],
            ["promotion.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_gate_run_latest", "gate_run", ["bundle_id", "stage", "gate", "id"], unique=False)
    op.create_index(op.f("ix_gate_run_mode"), "gate_run", ["mode"], unique=False)
    op.create_index(op.f("ix_gate_run_promotion_id"), "gate_run", ["promotion_id"], unique=False)
    op.create_index(op.f("ix_gate_run_state"), "gate_run", ["state"], unique=False)
    op.create_index(op.f("ix_gate_run_verdict"), "gate_run", ["verdict"], unique=False)
    op.create_table(
        "incident",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("application", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("severity", sa.Text(), server_default="", nullable=False),
        sa.Column("impact_started_at", UtcDateTime(), nullable=False),
        sa.Column("detected_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.Column("caused_by", sa.Integer(), nullable=True),
        sa.Column("inferred", sa.Boolean(), nullable=False),
        sa.Column("reported_by", sa.String(), nullable=False),
        sa.Column("replayed", sa.Boolean(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("recorded_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["application.name"],
        ),
        sa.ForeignKeyConstraint(
            ["caused_by"],
            ["deployment.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_incident_application"), "incident", ["application"], unique=False)
    op.execute(f"INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '{GENESIS}')")
