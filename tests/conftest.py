import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of public run tables: BAYES_SCALING_DATA, or shared/data beside the project."""
    folder = Path(os.environ.get("BAYES_SCALING_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no public run tables at {folder}; set BAYES_SCALING_DATA to the folder that holds them")
    return folder
