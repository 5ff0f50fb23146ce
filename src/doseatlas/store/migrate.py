"""Is the database of this version of DoseAtlas? Makes its tables, or brings those of an older version up to date.

The migrations are Alembic's (``migrations/versions``); the name of each file begins with its revision, and the order
of the names is the order in which they apply. Alembic is loaded only when there is something to do.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from doseatlas.model import StoreError, StoreTooNew
from doseatlas.store.database import Database

_MIGRATIONS = Path(__file__).parent / "migrations"


@cache
def revisions() -> tuple[str, ...]:
    """Return all revisions that this version of DoseAtlas knows, oldest first."""
    return tuple(sorted(file.name.split("_")[0] for file in (_MIGRATIONS / "versions").glob("[0-9]*.py")))


def migrate(database: Database) -> None:
    """Bring the tables to the newest revision; changes nothing where they are.

    Raises:
        StoreTooNew: a newer version of DoseAtlas made the tables.
        StoreError: the database holds tables that are not a store, or cannot be written.

    """
    with database.reading() as connection:
        if _revision(connection, database.place) == revisions()[-1]:
            return
    if database.is_sqlite:
        with database.reading() as connection:
            connection.exec_driver_sql("COMMIT")  # the mode cannot change within a transaction
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            connection.exec_driver_sql("BEGIN")
    with database.writing() as connection:
        # Another process may have done it while this one waited for the lock.
        if _revision(connection, database.place) != revisions()[-1]:
            _upgrade(connection)


def _revision(connection: Connection, place: str | None) -> str | None:
    tables = set(inspect(connection).get_table_names())
    if "alembic_version" not in tables:
        if "objects" in tables or "exams" in tables:
            raise StoreError(f"The database {place} holds tables of another program; give DoseAtlas one of its own.")
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision is not None and revision not in revisions():
        raise StoreTooNew(
            f"The store {place} was written by a newer version of DoseAtlas (its tables are of revision {revision}, "
            f"this version knows up to {revisions()[-1]}). Update DoseAtlas; nothing was changed."
        )
    return revision


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
