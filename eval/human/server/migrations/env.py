"""Alembic's environment: migrations run on the connection that `database._migrate` hands over."""

from alembic import context

from eval.human.server.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
context.run_migrations()
