from __future__ import annotations

from collections.abc import Iterator

import pytest

from redteam.runner import Canaries, Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One laboratory for all red-team tests: sessions, honest costs and canaries."""
    with Canaries.placed(tmp_path_factory.mktemp("canaries")) as canaries:
        laboratory = Lab(tmp_path_factory.mktemp("redteam"), canaries)
        try:
            yield laboratory
        finally:
            laboratory.close()
