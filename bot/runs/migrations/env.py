"""Alembic's entry: runs the migrations on the connection that the caller hands over."""

from alembic import context

from bot.runs.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, version_table="backspace_schema")
with context.begin_transaction():
    context.run_migrations()
