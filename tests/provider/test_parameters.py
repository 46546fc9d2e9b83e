"""What is checked before anything is sent: the limits of the document, in words that name rule and section."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.provider.bizmail import endpoints
from bridge.provider.bizmail.endpoints import ENDPOINTS, Endpoint
from bridge.provider.bizmail.form import fill
from bridge.provider.bizmail.models import AuthKey
from bridge.provider.faults import BadParameter, ProviderError

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
        (endpoints.USER_ADD, {"gender": 3}, "Gender must be 0, 1 or 2, not '3'"),
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
    one_line = not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]", password)
    good = bool(re.fullmatch("[0-9a-fA-F]{32}", password)) if md5 else 6 <= len(password) <= 32 and one_line
    values = {"alias": BOB, "password": password, "md5": md5}
    if good:
        assert ("Password", password) in fill(endpoints.USER_MODIFY, values)
        return
    with pytest.raises(BadParameter) as error:
        fill(endpoints.USER_MODIFY, values)
    rule = "must be 32 hexadecimal digits where Md5 is 1" if md5 else "must have 6 to 32 characters"
    if not md5 and not one_line:
        rule = "must be one line without control characters and byte order mark"
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


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: each.method)
def test_a_name_that_nobody_knows_is_refused(endpoint: Endpoint) -> None:
    """To drop it would say "done" of what was never asked; also where its value says nothing."""
    assert refused(endpoint, opentype=None).startswith(f"opentype is no parameter of {endpoint.method}")


def test_the_name_that_was_meant_is_told() -> None:
    """A leaver stays enabled where ``opentype`` is dropped, a digest becomes the password where ``is_md5`` is."""
    told = refused(endpoints.USER_MODIFY, alias=BOB, opentype=2)
    assert told == "opentype is no parameter of user_modify; did you mean open_type? (protocol 3.3.2)"
    assert "did you mean md5?" in refused(endpoints.USER_ADD, **NEW, is_md5=True)


@pytest.mark.parametrize("md5", [True, 1, "1", " 1 "])
def test_a_digest_is_judged_as_what_is_sent(md5: object) -> None:
    """However it is said that there is one: a password in clear never goes out under Md5=1, nor Md5=1 alone."""
    assert "32 hexadecimal digits" in refused(endpoints.USER_MODIFY, alias=BOB, password="in clear", md5=md5)
    assert "there is none" in refused(endpoints.USER_MODIFY, alias=BOB, md5=md5)
    assert ("Md5", "0") in fill(endpoints.USER_MODIFY, {"alias": BOB, "md5": False})


@pytest.mark.parametrize("value", [None, b"HR", {"HR": 1}, 1.5, AuthKey("K" * 40), True, ["HR"]], ids=repr)
def test_only_text_and_numbers_are_sent(value: object) -> None:
    """What else is given by mistake is not turned into text, in a list neither; a key is not shown."""
    assert "must be text or a number, not" in refused(endpoints.USER_MODIFY, alias=BOB, parties=[value])
    for key in ("name", "parties"):
        if value is not None and not isinstance(value, list):
            told = refused(endpoints.USER_MODIFY, alias=BOB, **{key: value})
            assert "must be text or a number, not" in told
            assert "K" * 40 not in told


@pytest.mark.parametrize("text", ["\udcb2\udce2", "a\ud83d"])
@pytest.mark.parametrize("endpoint", [each for each in ENDPOINTS if each.parameters], ids=lambda each: each.method)
def test_text_that_is_none_is_refused(endpoint: Endpoint, text: str) -> None:
    """Bytes of another encoding come as lone surrogates, which no form can carry."""
    told = refused(endpoint, **dict.fromkeys((each.key for each in endpoint.parameters), text))
    assert "UTF-8" in told
    assert text not in told


def test_a_long_value_is_not_quoted_whole() -> None:
    """Errors end up in logs."""
    assert len(refused(endpoints.USER_MODIFY, alias="x" * 100_000)) < 300


@pytest.mark.parametrize("name", ["王\u3000小明", "Anne\xa0Marie", "👨‍👩‍👧", "𮯰𱍊", "é", "ــ", "\u202dA"])
def test_every_name_of_a_person_is_one(name: str) -> None:
    """Wide and hard blanks, joined emoji, characters that this Python does not know yet; departments alike."""
    assert ("Name", name) in fill(endpoints.USER_MODIFY, {"alias": BOB, "name": name})
    assert fill(endpoints.PARTY_ADD, {"party": f"a/{name}"}) == [("Action", "2"), ("DstPath", f"a/{name}")]


@pytest.mark.parametrize("sign", ["\x00", "\n", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"])
def test_what_ends_a_line_is_in_no_name(sign: str) -> None:
    """Nor in a department or password; a byte order mark is no part of a password."""
    assert "control characters" in refused(endpoints.USER_MODIFY, alias=BOB, name=f"a{sign}b")
    assert "control characters" in refused(endpoints.PARTY_ADD, party=f"a{sign}b")
    assert "control characters" in refused(endpoints.USER_MODIFY, alias=BOB, password=f"secret{sign}")
    assert "byte order mark" in refused(endpoints.USER_MODIFY, alias=BOB, password="\ufeffsecret")


def test_no_gender_is_not_sent() -> None:
    """0 is what ``user/get`` says where nobody said anything; it can be read only, and be given back."""
    assert fill(endpoints.USER_MODIFY, {"alias": BOB, "gender": 0}) == [("Action", "3"), ("Alias", BOB)]


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
