"""Migrations make exactly the tables that the code declares, also from a database that has votes."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from eval.human.server.database import Database, open_database
from eval.human.server.strings import FOLDER, load_strings
from eval.human.server.tables import Setting, Table


def test_migrations_and_tables_agree(tmp_path) -> None:
    database = open_database(f"sqlite:///{tmp_path / 'votes.db'}")
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Table.metadata) == []
    database.close()


def test_opening_again_changes_nothing(tmp_path) -> None:
    url = f"sqlite:///{tmp_path / 'votes.db'}"
    database = open_database(url)
    with database.write() as session:
        session.add(Setting(name="kept", value="yes"))
    database.close()
    again = open_database(url)
    with again.read() as session:
        assert session.get(Setting, "kept").value == "yes"
    again.close()


def test_a_failed_write_leaves_nothing(tmp_path) -> None:
    database: Database = open_database(f"sqlite:///{tmp_path / 'votes.db'}")

    def fail() -> None:
        with database.write() as session:
            session.add(Setting(name="half", value="x"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as session:
        assert session.get(Setting, "half") is None
    database.close()


def test_all_languages_have_the_same_texts_and_fill_the_same_names() -> None:
    languages = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    assert languages == ("de", "en", "zh")
    strings = load_strings(languages)
    for key, english in strings["en"].items():
        for language in languages:
            names = {part.split("}")[0] for part in strings[language][key].split("{")[1:]}
            assert names == {part.split("}")[0] for part in english.split("{")[1:]}, f"{language}: {key}"


def test_every_text_that_a_script_uses_exists() -> None:
    import re

    strings = load_strings(("en",))["en"]
    static = FOLDER.parent / "static"
    used = {key for path in static.glob("*.js") for key in re.findall(r'text\("([a-z_]+)"', path.read_text())}
    used |= {key for path in static.glob("*.js") for key in re.findall(r'"(keys_[a-z]+)"', path.read_text())}
    assert used - strings.keys() == set()
    assert len(used) > 40
