"""What the provider answers to a call, any bytes with any status: a value, or one of the client's own errors.

The first byte says which endpoint was asked, the second with which HTTP status it answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bridge.provider.bizmail import answers, endpoints
from bridge.provider.bizmail.endpoints import ENDPOINTS, Endpoint
from bridge.provider.bizmail.form import fill
from bridge.provider.bizmail.models import Delta
from bridge.provider.bizmail.rules import is_ver
from bridge.provider.bizmail.token import Token
from bridge.provider.bizmail.verdict import judge
from bridge.provider.faults import OutcomeUnknown, ProviderError, UnreadableAnswer
from bridge.provider.members import Profile

PASSWORD: Final = "hush-7"
STATUSES: Final = (200, 200, 200, 200, 204, 302, 400, 401, 403, 500, 502)
CALLED: Final = [each for each in ENDPOINTS if each not in (endpoints.LISTEN, endpoints.LOGIN)]
READERS: Final[Mapping[str, Callable[[dict[str, Any]], object]]] = {
    "token": lambda answer: answers.read_token(answer, fetched_at=1e9),
    "authkey": answers.read_auth_key,
    "user_get": answers.read_profile,
    "user_list": answers.read_delta,
    "newcount": answers.read_newcount,
    "user_check": lambda answer: answers.read_checks(answer, asked=["a@x.cn"]),
    "party_list": lambda answer: answers.read_values(answer, endpoints.PARTY_LIST),
    "partyuser_list": lambda answer: answers.read_values(answer, endpoints.PARTYUSER_LIST),
}
"""What the client reads the answers of reading calls with."""


def answer(data: bytes) -> None:
    """Nothing but the client's own errors, bounded and without what was sent; a value that can be used."""
    if len(data) < 2:
        return
    endpoint, status, body = CALLED[data[0] % len(CALLED)], STATUSES[data[1] % len(STATUSES)], data[2:]
    try:
        told = judge(endpoint, status=status, body=body, secrets=[PASSWORD])
        value = READERS[endpoint.method](told) if not endpoint.writes else told
    except ProviderError as error:
        _check_error(error, endpoint)
        return
    assert status in (200, 400, 401)
    _check_value(value, endpoint)


def _check_error(error: ProviderError, endpoint: Endpoint) -> None:
    assert len(str(error)) < 1000
    assert "\n" not in str(error)
    assert PASSWORD not in f"{error} {error!r} {vars(error)}"
    assert isinstance(error, OutcomeUnknown) <= endpoint.writes
    assert not endpoint.writes or isinstance(error, OutcomeUnknown) or not isinstance(error, UnreadableAnswer)


def _check_value(value: object, endpoint: Endpoint) -> None:
    match value:
        case dict():
            assert endpoint.writes
            assert value == {}
        case Token():
            # As the store has to keep it.
            assert 0 < (value.expires_at - 1e9) * 1000 < 2**42
        case Delta():
            assert value.ver in (None, 0) or is_ver(value.ver)
        case Profile():
            assert value.alias
            for change in (fill(endpoints.USER_GET, {"alias": value.alias}), value.fields()):
                assert change
        case int():
            assert 0 <= value < 2**63


def _asked(method: str, status: int = 200) -> bytes:
    place = next(number for number, each in enumerate(CALLED) if each.method == method)
    return bytes((place, STATUSES.index(status)))


SEEDS: Final = [
    _asked("token") + b'{"access_token":"t","token_type":"Bearer","expires_in":86400,"refresh_token":""}',
    _asked("token", 400) + b'{"error":"invalid_client"}',
    _asked("authkey") + b'{"auth_key":"0123456789ABCDEF"}',
    _asked("user_get")
    + b'{"Alias":"a@x.cn","Name":"A","Gender":1,"SlaveList":"b@x.cn,c@x.cn","Position":"","Tel":"1","Mobile":"",'
    b'"ExtId":"7","PartyList":{"Count":2,"List":[{"Value":"HR"},{"Value":"a,b/c"}]},"OpenType":1,"Status":1}',
    _asked("user_list")
    + b'{"Ver":1386593148546,"Count":2,"List":[{"Action":2,"Alias":"a@x.cn"},{"Action":1,"Alias":"b"}]}',
    _asked("newcount") + b'{"Alias":"a@x.cn","NewCount":"15"}',
    _asked("user_check") + b'{"Count":1,"List":[{"Email":"a@x.cn","Type":0}]}',
    _asked("party_list") + b'{"Count":1,"List":[{"Value":"HR"}]}',
    _asked("user_add") + b'{"errcode":"1303","error":"hush-7 is too simple"}',
    _asked("user_modify") + b'{"Ret":0}',
    _asked("user_delete", 502) + b"<html>",
]
WORDS: Final = (
    *(b"errcode", b"error", b"errmsg", b"Ret", b"Ver", b"Count", b"List", b"Value", b"Alias", b"PartyList"),
    *(b"[[[[", b"]]]]", b'{"a":', b"{}", b"[]", b"null", b"true", b"0", b"-1", b"1e400", b"9" * 30, b'""', b'","'),
    *(b"hush-7", b"\0", b"\xff", b"\\ud83d", b"\xef\xbb\xbf", b" ", b"1200", b"10001", b"\xe2\x80\xae"),
)  # fmt: skip
