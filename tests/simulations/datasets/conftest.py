from collections.abc import Callable
from pathlib import Path

import pytest

PUBLIC_DATA = Path(__file__).resolve().parents[3] / "../shared/data"


@pytest.fixture(scope="session")
def public_data() -> Callable[[str], Path]:
    """The folder of a public data set, beside the repository; the test is skipped where it is absent."""

    def folder(name: str) -> Path:
        if not (PUBLIC_DATA / name).is_dir():
            pytest.skip(f"needs the public data set in {PUBLIC_DATA / name} (docs/datasets.md)")
        return PUBLIC_DATA / name

    return folder
