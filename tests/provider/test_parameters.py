"""What is checked before anything is sent: the limits of the document, in words that name rule and section."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.provider import endpoints
from bridge.provider.endpoints import ENDPOINTS, Endpoint
from bridge.provider.errors import BadParameter, ProviderError
from bridge.provider.form import fill

BOB = "bob@gzdev.com"
NEW = {"alias": BOB, "name": "Bob", "password": "123456"}
LEVEL = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="/"), min_size=1, max_size=64)


def refused(endpoint: Endpoint, **values: Any) -> str:
    with pytest.raises(BadParameter) as error:
        fill(endpoint, values)
    return str(error.value)


@pytest.mark.parametrize(
    ("endpoint", "values", "says"),
    [
        (
            endpoints.USER_ADD,
            {"alias": "bob"},
            "Alias must be a mail address, as in bob@gzdev.com, not 'bob' (protocol 3.3.2)",
        ),
        (endpoints.USER_ADD, {"alias": "a@b,c@d"}, "Alias must be a mail address"),
        (endpoints.USER_ADD, {"name": " "}, "Name must not be empty"),
        (endpoints.USER_ADD, {"name": None}, "Name is missing (protocol 3.3.2)"),
        (endpoints.USER_ADD, {"password": None}, "Password is missing"),
        (endpoints.USER_ADD, {"gender": 0}, "Gender must be 1 or 2, not '0'"),
        (endpoints.USER_ADD, {"open_type": 3}, "OpenType must be 0, 1 or 2, not '3'"),
        (endpoints.USER_ADD, {"slaves": ["a@b"] * 6}, "Slave may be given 5 times at most"),
        (endpoints.USER_ADD, {"slaves": ["a@b", "c"]}, "Slave must be a mail address"),
        (endpoints.USER_ADD, {"position": "a\nb"}, "Position must be one line"),
        (endpoints.USER_ADD, {"parties": ["a/b/c/d/e/f"]}, "PartyPath must have at most 5 levels"),
        (endpoints.PARTY_ADD, {"party": "a//b"}, "DstPath must have 1 to 64 characters in each level"),
        (endpoints.PARTY_ADD, {"party": "a/" + "b" * 65}, "DstPath must have 1 to 64 characters in each level"),
        (endpoints.PARTY_ADD, {"party": "/"}, "DstPath must name a department; the root has no name"),
        (endpoints.PARTY_MOVE, {"source": "a"}, "DstPath is missing (protocol 3.3.5)"),
        (endpoints.USER_CHECK, {"emails": ["x"] * 21}, "email may be given 20 times at most (protocol 3.3.8)"),
        (endpoints.USER_CHECK, {"emails": []}, "email must not be empty"),
        (endpoints.GROUP_ADD, {"status": "some"}, "status must be all, inner, group or list, not 'some'"),
        (endpoints.GROUP_ADDMEMBER, {"group": BOB, "members": []}, "members must be a mail address"),
        (endpoints.GROUP_ADDALLOWLIST, {"group": BOB, "senders": ["a@b,c@d"]}, "allow_list must be a mail address"),
        (endpoints.USER_LIST, {"ver": -1}, "Ver must be a whole number"),
        (endpoints.USER_GET, {"alias": ""}, "Alias must not be empty (protocol 3.3.1)"),
        (endpoints.USER_SWAPALIAS, {"alias": BOB, "slave": "x"}, "(undocumented call)"),
    ],
)
def test_each_rule_in_words(endpoint: Endpoint, values: dict[str, Any], says: str) -> None:
    """The parameter by the document's name, what it must be, what it was, where that stands."""
    base = {**NEW} if endpoint is endpoints.USER_ADD else {"group": BOB, "name": "x", "members": [BOB]}
    keys = {parameter.key for parameter in endpoint.parameters}
    told = refused(endpoint, **{key: value for key, value in base.items() if key in keys} | values)
    assert says in told
    assert not isinstance(BadParameter("", "", ""), ProviderError)


@given(st.text(max_size=60), st.booleans())
def test_no_password_in_an_error(password: str, md5: bool) -> None:
    """6 to 32 characters in clear, 32 hexadecimal digits as a digest; what is refused is not quoted."""
    good = bool(re.fullmatch("[0-9a-fA-F]{32}", password)) if md5 else 6 <= len(password) <= 32
    values = {"alias": BOB, "password": password, "md5": md5}
    if good:
        assert ("Password", password) in fill(endpoints.USER_MODIFY, values)
        return
    with pytest.raises(BadParameter) as error:
        fill(endpoints.USER_MODIFY, values)
    rule = "must be 32 hexadecimal digits where Md5 is 1" if md5 else "must have 6 to 32 characters"
    told = f"Password {rule} (protocol 3.3.2)"
    assert (str(error.value), repr(error.value)) == (told, f"BadParameter({told!r})")
    # Nor in what a traceback prints beside it.
    assert error.value.__suppress_context__


@given(st.lists(LEVEL, min_size=1, max_size=5), st.booleans())
def test_every_department_of_the_document_can_be_named(levels: list[str], slash: bool) -> None:
    """Five levels of 64 characters, with or without a slash in front; the root has no name."""
    path = "/".join(levels)
    assert fill(endpoints.PARTY_ADD, {"party": f"/{path}" if slash else path}) == [("Action", "2"), ("DstPath", path)]


@given(st.text(), st.sampled_from(ENDPOINTS))
def test_any_text_is_sent_whole_or_refused(text: str, endpoint: Endpoint) -> None:
    """No text breaks the form, and no error is another than ours."""
    values = {parameter.key: text for parameter in endpoint.parameters}
    try:
        form = fill(endpoint, values)
    except BadParameter:
        return
    if text.isprintable():
        assert parse_qsl(urlencode(form), keep_blank_values=True) == form


def test_what_is_repeated_and_what_is_joined() -> None:
    """Slave, PartyPath, email and members come again; allow_list has commas; an empty list is one empty value."""
    form = fill(endpoints.USER_MODIFY, {"alias": BOB, "slaves": ["a@b", "c@d"], "parties": ()})
    assert form == [("Action", "3"), ("Alias", BOB), ("PartyPath", ""), ("Slave", "a@b"), ("Slave", "c@d")]
    assert fill(endpoints.USER_CHECK, {"emails": ("a", "b")}) == [("email", "a"), ("email", "b")]
    allowed = fill(endpoints.GROUP_DELALLOWLIST, {"group": BOB, "senders": iter(["a@b", "c@d"])})
    assert allowed == [("group_alias", BOB), ("allow_list", "a@b,c@d")]


def test_one_text_is_one_value() -> None:
    """A text where several values may stand is not taken for its letters."""
    assert fill(endpoints.USER_CHECK, {"emails": "a@b"}) == [("email", "a@b")]


def test_reading_asks_for_whatever_there_is() -> None:
    """An account of the provider's own listing is asked for as it is spelt there, if it looks like nothing at all."""
    assert fill(endpoints.USER_GET, {"alias": "odd, name"}) == [("Alias", "odd, name")]


def test_the_table_is_whole() -> None:
    """Each entry has its own method; only what is read may be secret or hashed; options have one meaning a name."""
    assert len({each.method for each in ENDPOINTS}) == len(ENDPOINTS)
    for name in {each.name for each in ENDPOINTS}:
        same = [each for each in ENDPOINTS if each.name == name]
        assert len({each.path for each in same}) == len({each.section for each in same}) == 1
        assert len({each.action for each in same}) == len(same)
    secrets = {each.name for endpoint in ENDPOINTS for each in endpoint.parameters if each.secret}
    assert secrets == {"Password", "ticket"}
