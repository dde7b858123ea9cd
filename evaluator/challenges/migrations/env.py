"""Alembic runs this file; the connection is handed over by ``evaluator.challenges.database``."""

from alembic import context

from evaluator.challenges.tables import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=Base.metadata, render_as_batch=True, compare_type=True
)
with context.begin_transaction():
    context.run_migrations()
