"""Keep what somebody said apart from what nobody said: an incident's cause, and whether a deployment was planned"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Until now "no deployment caused it" was kept in the record alone: whoever said it last left the link empty.
SAID_NONE = """
UPDATE incident SET cause = 'none'
WHERE caused_by IS NULL AND EXISTS (
    SELECT 1 FROM audit_event
    WHERE action = 'incident.linked' AND subject = 'incident ' || incident.id
)
"""


def upgrade() -> None:
    causes = sa.Enum("unknown", "none", "deployment", name="cause", native_enum=False, length=20)
    op.add_column("incident", sa.Column("cause", causes, server_default="unknown", nullable=False))
    op.execute("UPDATE incident SET cause = 'deployment' WHERE caused_by IS NOT NULL AND NOT inferred")
    op.execute(SAID_NONE)
    op.drop_column("incident", "inferred")

    # "True" without a declared kind was what nobody had said anything about, and the metrics have always read it so.
    op.execute("ALTER TABLE deployment RENAME COLUMN planned TO planned_or_not_said")
    op.add_column("deployment", sa.Column("planned", sa.Boolean(), nullable=True))
    op.execute(
        "UPDATE deployment SET planned = planned_or_not_said WHERE NOT planned_or_not_said OR declared_kind IS NOT NULL"
    )
    op.drop_column("deployment", "planned_or_not_said")
