"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
serves = ${repr(down_revision)}  # the oldest revision whose code this schema still serves

revisions = sa.table("schema_revisions", sa.column("revision"), sa.column("serves"))


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
    op.bulk_insert(revisions, [{"revision": revision, "serves": serves}])


def downgrade() -> None:
    op.execute(revisions.delete().where(revisions.c.revision == revision))
    ${downgrades if downgrades else "pass"}
