"""The migrations make the tables that the code speaks of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import doseatlas.store
from doseatlas.settings import Settings
from doseatlas.store import Store
from doseatlas.store.migrate import revisions
from doseatlas.store.schema import metadata


def test_the_migrations_make_the_tables_that_are_defined(store: Store) -> None:
    with store.database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_newest_revision_is_the_head_and_all_are_known() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(doseatlas.store.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == revisions()[-1]
    assert sorted(script.revision for script in scripts.walk_revisions()) == list(revisions())


def test_a_store_may_be_made_by_several_at_once(settings: Settings) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: Store.from_settings(settings), range(4)))
    assert len({store.id for store in stores}) == 1
    assert len({store.key for store in stores}) == 1
    for store in stores:
        store.close()


def test_sqlite_commits_are_on_disk_when_they_return(tmp_path: Path) -> None:
    with Store.from_settings(Settings(data_dir=str(tmp_path))) as store, store.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
