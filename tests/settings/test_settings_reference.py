"""The reference page is written by the table and nothing else."""

from __future__ import annotations

from pathlib import Path

from bridge.settings import reference
from bridge.settings.table import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_equals_the_table():
    """``docs/settings.md`` is what ``config reference`` prints; write it again after changing the table."""
    assert PAGE.read_text() == reference()


def test_every_setting_is_unique_and_explained():
    """No two settings share a variable or a place in the file; each has a sentence."""
    variables = [variable for setting in TABLE for variable in setting.variables]
    assert len(set(variables)) == len(variables)
    places = [place for setting in TABLE for place in setting.places]
    assert len(set(places)) == len(places)
    assert all(setting.help.endswith(".") for setting in TABLE)
