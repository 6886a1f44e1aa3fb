from pathlib import Path

import pytest

from tests.fixtures.toy_data import write_pixels


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """47 clips of 4 frames in five chunks and 23 images. Read only."""
    return write_pixels(tmp_path_factory.mktemp("toy") / "set", {(4, 8, 8): 47, (1, 8, 8): 23})
