"""The errors themselves: whole in another process, bounded, and fit for a log."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from bridge.provider import faults as errors
from bridge.provider.faults import (
    AddressNotAllowed,
    BadParameter,
    ListenEnded,
    ListenRefused,
    ListenSilent,
    NotFound,
    ProviderAway,
    plain,
)

KINDS = [
    kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and not name.startswith("_")
]
MADE: list[Exception] = [
    BadParameter("Alias", "must be a mail address", "3.3.2"),
    ListenEnded("closed", in_order=True),
    ListenRefused(7),
    ListenSilent(135.0),
    ProviderAway("user/sync", "unexpected HTTP 502", sent=False, timed_out=True, status=502),
    AddressNotAllowed("10001", "no", "token", "10.1.2.3"),
]


def made(kind: type[Exception]) -> Exception:
    """One of this kind, with other facts than those it begins with."""
    error = next((each for each in MADE if type(each) is kind), None)
    if error is None and issubclass(kind, errors.ProviderRefused):
        error = kind("1301", "user_not_found", "user/get")
    elif error is None:
        error = kind() if kind is errors.ProviderError else kind("user/sync", "why")
    vars(error)["noted"] = "later"
    return error


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_is_whole_elsewhere(kind: type[Exception]) -> None:
    """Pickled and copied: kind, text and facts."""
    error = made(kind)
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert (str(other), repr(other), other.args, vars(other)) == (str(error), repr(error), error.args, vars(error))


def refuse(alias: str) -> None:
    raise NotFound("1301", alias, "user/get")


def test_a_pool_of_processes_goes_on() -> None:
    """One refusal is one result, not the end of the pool."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for alias in ("a@x", "b@x"):
            with pytest.raises(NotFound, match=alias):
                pool.submit(refuse, alias).result(30)


@pytest.mark.parametrize("secret", ["hush 7", "p&ss", "密码密码", "a+b/c=", "x"])
def test_what_is_known_to_be_secret_is_not_said(secret: str) -> None:
    """However often, before anything is cut off."""
    told = plain(f"{secret} " * 100 + "." * 5000 + secret, [secret, ""])
    assert secret not in told
    assert len(told) <= errors.LONGEST_TEXT


def test_words_are_bounded_and_one_line() -> None:
    """Whatever was said."""
    assert plain("a\nb\x1b[31m\u202e" + "word " * 10**6).startswith("a b [31m word")
    assert len(plain("word " * 10**6)) <= errors.LONGEST_TEXT


@pytest.mark.parametrize(
    ("errcode", "label"),
    [("1301", "1301"), ("-1", "-1"), ("", ""), ("10000000", ""), ("1 1", ""), ("\u0661", ""), ("<b>", "")],
)
def test_a_code_that_is_stored_and_shown_is_a_short_number(errcode: str, label: str) -> None:
    """What the provider sends in its place may be anything; it ends up in Redis and on terminals."""
    assert NotFound(errcode, "", "user/get").label == label
