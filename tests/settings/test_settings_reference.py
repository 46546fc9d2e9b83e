"""The reference page is written by the table and nothing else."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import get_args

from bridge.journal import made
from bridge.provider.members import Profile
from bridge.settings import reference
from bridge.settings.table import PROFILE_FIELDS, TABLE, Privacy

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


def test_what_may_be_set_is_what_there_is():
    """The table may import nothing; its closed sets are those of the rooms that act on them, in the same order."""
    assert tuple(field.name for field in fields(Profile)) == PROFILE_FIELDS
    assert get_args(Privacy) == get_args(made.Privacy)
