"""Where all tests run in one process, the model is explored beside them: by itself it would be a fifth of the time."""

from __future__ import annotations

import os

import pytest

from tests.model.beside import Beside, Wanted, explored
from tests.model.explorer import Found

_BESIDE = pytest.StashKey[Beside]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "explores(name, mutation): bounds of the model, and what is broken in the script"
    )


def wanted_by(item: pytest.Item) -> Wanted | None:
    """What a test explores: ``@pytest.mark.explores(name, mutation)`` says it."""
    mark = item.get_closest_marker("explores")
    return None if mark is None else (mark.args[0], mark.args[1])


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin, if most tests are others; they are done by the time that the last ones ask."""
    wanted = [each for each in map(wanted_by, session.items) if each is not None]
    alone = "PYTEST_XDIST_WORKER" not in os.environ and not session.config.option.collectonly
    if alone and wanted and len(session.items) > 10 * len(wanted):
        session.config.stash[_BESIDE] = Beside(wanted)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _BESIDE in session.config.stash:
        session.config.stash[_BESIDE].close()


@pytest.fixture
def found(request: pytest.FixtureRequest) -> Found | None:
    """What the exploration of this test's mark found; ``None`` where every promise holds."""
    wanted = wanted_by(request.node)
    assert wanted is not None
    if _BESIDE in request.config.stash:
        return request.config.stash[_BESIDE].found(wanted)
    return explored(request.getfixturevalue("redis_url"), wanted)
