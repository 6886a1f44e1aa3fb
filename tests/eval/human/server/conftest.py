"""A small study and its application; each test has its own database."""

import shutil
from pathlib import Path

import pytest

from eval.human.study import Study, load_study
from tests.fixtures.human_study import write_study
from tests.fixtures.study_client import StudyApp


@pytest.fixture(scope="session")
def written_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = write_study(tmp_path_factory.mktemp("study") / "small", practice=True, num_prompts=3)
    StudyApp(study).close()  # each test copies the migrated database
    return study


@pytest.fixture
def study(written_study: Study, tmp_path: Path) -> Study:
    shutil.copytree(written_study.folder, tmp_path / "study")
    return load_study(tmp_path / "study")


@pytest.fixture
def app(study: Study):
    app = StudyApp(study)
    yield app
    app.close()
