"""What every token must claim now: its end, its beginning, its audience and issuer."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.access import codes
from bridge.access.access import Refused
from bridge.access.claims import LEEWAY_S, Rules

NOW = 1_800_000_000.0


def rules(**options: Any) -> Rules:
    return Rules(**{"audience": None, "issuer": None, "now": lambda: NOW, **options})


def refusal(claims: dict[str, Any], **options: Any) -> Refused:
    with pytest.raises(Refused) as refused:
        rules(**options).enforce(claims)
    assert refused.value.status == 401
    return refused.value


@pytest.mark.parametrize("exp", [NOW + 1, NOW, NOW - LEEWAY_S + 0.001, int(NOW) + 5, 99_999_999_999])
def test_a_token_holds_until_its_end_and_the_leeway(exp: float) -> None:
    """Clocks may be a minute apart."""
    rules().enforce({"exp": exp})


@pytest.mark.parametrize(("exp", "ago"), [(NOW - LEEWAY_S, 60), (NOW - 312, 312), (0, 1_800_000_000), (-5, NOW + 5)])
def test_an_expired_token(exp: float, ago: float) -> None:
    """The message says since when; the code allows to come back, with a fresh one."""
    refused = refusal({"exp": exp})
    assert (refused.code, refused.label, refused.message) == (codes.EXPIRED, "expired", f"expired {ago:.0f} s ago")


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({}, "'exp' is missing"),
        ({"exp": None}, "'exp' is missing"),
        ({"exp": "1800000600"}, "must be a number of seconds, not '1800000600'"),
        ({"exp": True}, "must be a number"),
        ({"exp": [NOW + 5]}, "must be a number"),
        ({"exp": int(NOW * 1000)}, "milliseconds"),
        ({"exp": 1e300}, "milliseconds"),
    ],
)
def test_a_token_without_a_usable_end(claims: dict[str, Any], why: str) -> None:
    """A token must end; milliseconds would make it last for ever."""
    refused = refusal(claims)
    assert (refused.code, refused.label) == (codes.INVALID_TOKEN, "claim")
    assert why in refused.message


@pytest.mark.parametrize("nbf", [None, 0, NOW, NOW + LEEWAY_S])
def test_a_token_that_has_begun(nbf: float | None) -> None:
    """With the same leeway as its end."""
    rules().enforce({"exp": NOW + 600, "nbf": nbf})


def test_a_token_that_has_not_begun() -> None:
    """Refused with the time that is missing: usually a clock is wrong."""
    refused = refusal({"exp": NOW + 600, "nbf": NOW + 90})
    assert (refused.code, refused.label) == (codes.INVALID_TOKEN, "premature")
    assert "another 90 s" in refused.message
    assert refusal({"exp": NOW + 600, "nbf": "soon"}).label == "claim"


@pytest.mark.parametrize("aud", ["oa", ["crm", "oa"]])
def test_the_right_audience(aud: Any) -> None:
    """Text, or a list that holds it."""
    rules(audience="oa").enforce({"exp": NOW + 600, "aud": aud})


@pytest.mark.parametrize("aud", [None, "crm", "oa ", "OA", ["crm"], [], {"oa": 1}, [["oa"]]])
def test_the_wrong_audience(aud: Any) -> None:
    """Exactly the expected one, and the message shows both."""
    refused = refusal({"exp": NOW + 600, "aud": aud}, audience="oa")
    assert refused.label == "audience"
    assert refused.message == f"aud is {aud!r}, expected 'oa'"


@pytest.mark.parametrize("iss", [None, "them", ["us"]])
def test_the_wrong_issuer(iss: Any) -> None:
    """Exactly the expected text."""
    assert refusal({"exp": NOW + 600, "iss": iss}, issuer="us").message == f"iss is {iss!r}, expected 'us'"


def test_what_is_not_expected_is_not_looked_at() -> None:
    """Without the settings a token may claim any audience and issuer, and a wrong ``iat``."""
    rules().enforce({"exp": NOW + 600, "aud": "any", "iss": "any", "iat": NOW * 2})
    rules(audience="oa", issuer="us").enforce({"exp": NOW + 600, "aud": "oa", "iss": "us"})
