"""How Alembic reaches the store: on the connection, and within the transaction, that ``migrate`` hands over."""

from alembic import context

from doseatlas.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
