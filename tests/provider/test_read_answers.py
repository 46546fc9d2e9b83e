"""What the bodies of successful calls say, in every form that was printed or seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bridge.provider.bizmail import answers, endpoints
from bridge.provider.bizmail.documents import fold_keys
from bridge.provider.bizmail.form import fill
from bridge.provider.bizmail.models import AddressCheck, AddressKind, AuthKey, Delta
from bridge.provider.bizmail.verdict import judge, read_refusal
from bridge.provider.faults import (
    AddressNotAllowed,
    Busy,
    CallerFault,
    InvalidToken,
    NotFound,
    ProviderRefused,
    UnreadableAnswer,
)
from bridge.provider.members import Action, UserChange


def profile(**fields: Any) -> Any:
    return answers.read_profile(fold_keys({"Alias": "a@x"} | fields))


def body(whole: bytes, endpoint: endpoints.Endpoint) -> dict[str, Any]:
    return judge(endpoint, status=200, body=whole)


def test_the_documents_examples(sample: Callable[[str], bytes]) -> None:
    """The answers that the protocol prints are read as printed, a token broken over two lines included."""
    token = answers.read_token(body(sample("token"), endpoints.TOKEN), fetched_at=1000)
    assert token.value == ("GHUSH-4qIXPScxa_OY0CbPS31W1OM24L_Ys9FCc7LtJyxjHD5OZafLh3Y8gM7gzDtp-GdQEY4dwFXk2qgnkwJA")
    assert token.expires_at == 1000 + 86400 - 300
    delta = answers.read_delta(body(sample("user-list"), endpoints.USER_LIST))
    assert delta == Delta(1346674693912, (UserChange(Action.MOD, "test2@gzservice.com"),), 1)
    assert answers.read_newcount(body(sample("newcount"), endpoints.NEWCOUNT)) == 15
    key = answers.read_auth_key(body(sample("authkey"), endpoints.AUTHKEY))
    assert (len(key.value), key.value[:6], key.value[-6:]) == (112, "077FFF", "B68C1D")


@pytest.mark.parametrize(("life", "margin_s"), [(86400, 300), ("432000", 300), (3000, 300), (600, 60), (1, 0.1)])
def test_expiry_is_obeyed_with_a_margin(life: object, margin_s: float) -> None:
    """A tenth of its life early, five minutes at most."""
    token = answers.read_token({"access_token": "t", "expires_in": life}, fetched_at=0)
    assert token.expires_at == pytest.approx(int(str(life)) - margin_s)


@pytest.mark.parametrize(
    "answer",
    [{}, {"access_token": " ", "expires_in": 1}, {"access_token": "令", "expires_in": 1}, {"access_token": "t" * 5000}],
)
def test_unusable_tokens(answer: dict[str, Any]) -> None:
    """A token that no header can carry is none."""
    with pytest.raises(UnreadableAnswer):
        answers.read_token(answer, fetched_at=0)


@pytest.mark.parametrize("life", [None, -1, 0, "soon", 10**30, 1.5, True, [], "-1"])
def test_a_life_that_is_none(life: object) -> None:
    """OAuth allows that none is told, and some say -1 for "always": such a token is used for an hour."""
    told = {} if life is None else {"expires_in": life}
    token = answers.read_token({"access_token": "t"} | told, fetched_at=0)
    assert token.expires_at == answers.ASSUMED_LIFE_S - 300


@pytest.mark.parametrize("life", [answers.LONGEST_LIFE_S + 1, 10**16, 2**63 - 1])
def test_a_life_that_nobody_can_store(life: int) -> None:
    """A month is the longest."""
    assert answers.read_token({"access_token": "t", "expires_in": life}, fetched_at=0).expires_at < 31 * 86_400


def test_empty_delta() -> None:
    """Nothing changed: an empty list, or none where the count is 0."""
    assert answers.read_delta({"ver": "7", "count": 0, "list": []}) == Delta(7, (), 0)
    assert answers.read_delta({"ver": 7, "count": "0"}) == Delta(7, (), 0)


def test_delta_lines() -> None:
    """Order and repetition are kept; an unknown action is a change; lines without alias are counted."""
    lines = [
        {"Action": "1", " Alias ": " a@x "},
        {"action": 2, "alias": "a@x"},
        {"Action": 9, "Alias": "b@x"},
        {"Alias": "c@x"},
        {"Action": 1},
        "d@x",
    ]
    delta = answers.read_delta({"ver": None, "count": 6, "list": lines})
    assert delta.ver is None
    assert [(change.action, change.alias) for change in delta.changes] == [
        (Action.DEL, "a@x"),
        (Action.ADD, "a@x"),
        (Action.MOD, "b@x"),
        (Action.MOD, "c@x"),
    ]
    assert delta.unreadable == 2


@pytest.mark.parametrize("answer", [{}, {"ver": 7}, {"ver": 7, "count": 2}, {"ver": 7, "list": "a@x"}])
def test_delta_without_a_list_is_refused(answer: dict[str, Any]) -> None:
    """A listing that is missing must not read as one that is empty: accounts would be deleted."""
    with pytest.raises(UnreadableAnswer):
        answers.read_delta(answer)


@pytest.mark.parametrize(
    "parties",
    [
        {"Count": 2, "List": [{"Value": "广州研发中心/企业邮箱"}, {"Value": " HR "}]},
        {"count": "2", "list": ["广州研发中心/企业邮箱", "HR"]},
        ["广州研发中心/企业邮箱", {" value ": "HR"}],
        "广州研发中心/企业邮箱,HR",
    ],
)
def test_party_list_in_all_its_forms(parties: object) -> None:
    """A counted list of objects, a list, or a text with commas."""
    assert profile(PartyList=parties).parties == ("广州研发中心/企业邮箱", "HR")


@pytest.mark.parametrize(
    "parties",
    [{"Count": 1, "List": [{"Value": "研发,测试"}]}, ["研发,测试"], {"list": "研发,测试"}, {"value": "研发,测试"}],
)
def test_a_comma_belongs_to_a_department_that_stands_alone(parties: object) -> None:
    """Only a bare text is several: else who writes the profile back moves people."""
    assert profile(PartyList=parties).parties == ("研发,测试",)


def nested(depth: int) -> Any:
    value: Any = "HR"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("field", ["PartyList", "SlaveList"])
@pytest.mark.parametrize(
    "odd",
    [
        *({"Count": 2, "List": [{"Value": "HR"}]}, {"Count": 1}, {"count": 1, "list": [{}]}, [{"Value": {}}]),
        *({"List": {"List": ["HR"]}}, nested(2), nested(600), [True], {"Value": ["HR", [1]]}),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_list_that_cannot_be_read_whole_is_not_read(field: str, odd: object) -> None:
    """Shorter than it counts, of things that are no text, nested however deep: no profile that seems to have less."""
    with pytest.raises(UnreadableAnswer):
        profile(**{field: odd})


@pytest.mark.parametrize("empty", [None, "", [], {}, {"Count": 0}, {"Count": "0", "List": []}, {"List": None}])
def test_an_empty_list_in_all_its_forms(empty: object) -> None:
    """Nothing is there, and nothing says otherwise."""
    read = profile(PartyList=empty, SlaveList=empty)
    assert (read.parties, read.slaves) == ((), ())


def test_profile_fields() -> None:
    """Each field under its own name; numbers as text; the undocumented Status is kept as it is."""
    read = profile(
        Name=" 王 ",
        Gender="1",
        SlaveList="b@x, c@x,",
        Position="p",
        Tel=123,
        Mobile="m",
        ExtId="e",
        OpenType=2,
        Status="3",
    )
    assert (read.alias, read.name, read.gender, read.slaves) == ("a@x", "王", 1, ("b@x", "c@x"))
    assert (read.position, read.tel, read.mobile, read.ext_id) == ("p", "123", "m", "e")
    assert (read.open_type, read.status, read.parties) == (2, "3", ())


def test_profile_with_nothing_in_it() -> None:
    """Missing fields are empty; numbers that mean nothing are none."""
    read = profile(PartyList={"count": 0}, Gender=7, OpenType="x")
    assert (read.alias, read.slaves, read.gender, read.open_type, read.status) == ("a@x", (), 0, 0, None)


@pytest.mark.parametrize("answer", [{}, {"name": "Bob"}, {"alias": " "}, {"alias": None}, {"alias": ["a@x"]}])
def test_an_answer_that_names_nobody_is_no_profile(answer: dict[str, Any]) -> None:
    """A blank profile would be an account without rights, addresses and departments."""
    with pytest.raises(UnreadableAnswer):
        answers.read_profile(answer)


def test_a_profile_can_be_written_as_it_was_read() -> None:
    """Each field under its name, none refused."""
    read = profile(Name="王", Gender="0", SlaveList="b@x", PartyList={"List": [{"Value": "a,b/c"}]}, Tel=1, ExtId="7")
    form = fill(endpoints.USER_MODIFY, {"alias": read.alias, "name": read.name, **read.fields()})
    assert form == [
        *(("Action", "3"), ("Alias", "a@x"), ("Name", "王"), ("Position", ""), ("Tel", "1"), ("Mobile", "")),
        *(("ExtId", "7"), ("PartyPath", "a,b/c"), ("Slave", "b@x"), ("OpenType", "0")),
    ]


@pytest.mark.parametrize("count", [None, "many", -1, True, 1.5])
def test_unusable_counts(count: object) -> None:
    """No number is better than a wrong one."""
    with pytest.raises(UnreadableAnswer):
        answers.read_newcount({"newcount": count})


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"<html>", b"null"])
def test_bodies_that_are_no_object(body: bytes) -> None:
    """Only an object is an answer; an empty body is one, that is how writes succeed."""
    with pytest.raises(UnreadableAnswer):
        judge(endpoints.USER_GET, status=200, body=body)
    assert judge(endpoints.USER_MODIFY, status=200, body=b" \n") == {}


@pytest.mark.parametrize(
    ("errcode", "kind"),
    [
        ("1001", CallerFault),
        ("1002", Busy),
        (1200, InvalidToken),
        ("1301", NotFound),
        ("1400", NotFound),
        ("1303", CallerFault),
        ("1310", CallerFault),
        ("10001", AddressNotAllowed),
        ("4711", ProviderRefused),
    ],
)
def test_refusals(errcode: object, kind: type[ProviderRefused]) -> None:
    """Each errcode has its error; unknown ones are carried through as they are."""
    error = read_refusal({"errcode": errcode, "error": "why"}, endpoints.USER_GET)
    assert type(error) is kind
    assert (error.errcode, error.text, error.endpoint) == (str(errcode), "why", "user/get")


def test_no_refusal() -> None:
    """No errcode, or 0 as the successor says it, is success."""
    assert read_refusal({"newcount": 1}, endpoints.NEWCOUNT) is None
    assert read_refusal({"errcode": 0, "errmsg": "ok"}, endpoints.NEWCOUNT) is None


def test_refused_address_says_what_to_do() -> None:
    """The operator reads what to change, and that the address seen from here may not be the one."""
    error = AddressNotAllowed("10001", "", "user/list", "10.1.2.3")
    for words in ("allow-list", "10.1.2.3", "NAT", "every site"):
        assert words in str(error)


@pytest.mark.parametrize("name", ["auth_key", "AUTH_KEY", "authkey", "AuthKey", "kuthkey", " Kuthkey "])
def test_every_spelling_of_the_auth_key(name: str) -> None:
    """The server's, both of the document, in any case."""
    assert answers.read_auth_key(fold_keys({name: " K1 ", "other": "x"})) == AuthKey("K1")


@pytest.mark.parametrize("answer", [{}, {"auth_key": " "}, {"auth_key": "键"}, {"auth_key": None}, {"key": "K"}])
def test_unusable_auth_keys(answer: dict[str, Any]) -> None:
    """A login link is not made of nothing."""
    with pytest.raises(UnreadableAnswer):
        answers.read_auth_key(answer)


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ({"count": 2, "list": [{"Value": " a,b "}, {" VALUE": "c"}]}, ("a,b", "c")),
        ({"list": ["a", "b"]}, ("a", "b")),
        ({"count": "0"}, ()),
        ({"count": 0, "list": []}, ()),
        ({"list": [{"Value": ""}, {}]}, ()),
        ({"count": 1, "list": ["a", "b"]}, ("a", "b")),
    ],
)
def test_lists_of_values(answer: dict[str, Any], values: tuple[str, ...]) -> None:
    """Departments and accounts; a comma belongs to a name."""
    assert answers.read_values(answer, endpoints.PARTY_LIST) == values


@pytest.mark.parametrize("answer", [{}, {"count": 2}, {"list": "a"}])
def test_no_list_is_not_an_empty_one(answer: dict[str, Any]) -> None:
    """Whoever deletes what is not on it would delete everything."""
    with pytest.raises(UnreadableAnswer):
        answers.read_values(answer, endpoints.PARTYUSER_LIST)
    with pytest.raises(UnreadableAnswer):
        answers.read_checks(answer, asked=[])


def test_a_list_that_came_short_is_told() -> None:
    """Fewer lines than it counts, or none for an address that was asked for."""
    with pytest.raises(UnreadableAnswer, match="1 values where Count says 3"):
        answers.read_values({"count": 3, "list": [{"Value": "a@x"}]}, endpoints.PARTYUSER_LIST)
    one = {"count": 1, "list": [{"Email": "A@x", "Type": 0}]}
    assert len(answers.read_checks(one, asked=[" a@X "])) == 1
    with pytest.raises(UnreadableAnswer, match="no line for 1 of 2"):
        answers.read_checks(one, asked=["a@x", "b@x"])


def test_what_addresses_are() -> None:
    """Numbers as text too, addresses trimmed; a number that means nothing must not pass for free."""
    lines = [{"Email": " a@x ", "Type": "-1"}, {"email": "b@x", " type": 0}]
    checks = answers.read_checks({"count": 2, "list": lines}, asked=["a@x", "b@x"])
    assert checks == (AddressCheck("a@x", AddressKind.INVALID), AddressCheck("b@x", AddressKind.FREE))
    for bad in ({"Email": "a@x", "Type": 4}, {"Email": "a@x"}, {"Type": 0}, "a@x"):
        with pytest.raises(UnreadableAnswer):
            answers.read_checks({"list": [bad]}, asked=[])


def test_a_refused_address_is_told_with_the_provider_s_words_and_our_address() -> None:
    """10001 is the operator's to mend: whose address, where to put it, and what the provider said."""
    error = AddressNotAllowed("10001", "ip not allowed", "user/get", "10.1.2.3")
    assert "10001" in str(error)
    assert "ip not allowed" in str(error)
    assert "10.1.2.3" in str(error)
    assert "None" not in str(AddressNotAllowed("10001", "", "user/get"))
