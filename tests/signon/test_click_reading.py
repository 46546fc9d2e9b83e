"""The pure parts: languages, verdicts and their words."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.obs.labels import Click
from bridge.provider.bizmail.errcodes import refusal
from bridge.provider.faults import ProviderAway, UnreadableAnswer
from bridge.signon.page import render
from bridge.signon.verdict import Verdict, provider_failed, too_many
from bridge.signon.words import BY_LANGUAGE, CHINESE, ENGLISH, cause, language_of


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("ZH-hant-TW", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("en;q=0.5, zh;q=0.6", "zh"),
        ("fr, zh;q=0.1", "zh"),
        ("de,fr", "en"),
        ("zh;q=0", "en"),
        ("*", "en"),
        (";;q=,zh;q=x", "en"),
    ],
)
def test_the_readers_language(accept: str, language: str) -> None:
    """The highest quality among the two decides, the first of equals; English for everybody else."""
    assert language_of(accept) == language


@given(st.text())
def test_any_header_has_a_language(accept: str) -> None:
    """Whatever a client sends, it is answered."""
    assert language_of(accept) in BY_LANGUAGE


def test_every_way_of_failing_has_words() -> None:
    """In both languages, and nothing is left over."""
    causes = {cause(Verdict(result, 400)) for result in get_args(Click) if result != "opened"}
    causes |= {cause(Verdict("refused", 401))}
    assert set(ENGLISH.causes) == set(CHINESE.causes) == causes


@pytest.mark.parametrize("words", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_a_page_offers_what_helps(words) -> None:
    """A second try only where it may succeed; a way to the provider always; how long to wait, if that is known."""
    for result in ENGLISH.causes:
        if result == "unproved":
            continue
        verdict = Verdict(result, 400)
        page = render(verdict, words, login_page="https://exmail.example/", again="?mailid=1&mailbox=a")
        assert ("?mailid=1&amp;mailbox=a" in page) == verdict.passes
        assert "https://exmail.example/" in page
    page = render(too_many(0.2), words, login_page="", again=None)
    assert words.wait.format(1) in page
    assert words.click_again in page


@pytest.mark.parametrize(
    ("error", "result", "status"),
    [
        (refusal("1301", "user_not_found", "mail/authkey"), "unknown", 404),
        (refusal("1002", "temporarily_unavailable", "mail/authkey"), "busy", 503),
        (refusal("1200", "invalid_token", "mail/authkey"), "denied", 502),
        (refusal("10001", "", "mail/authkey"), "denied", 502),
        (ProviderAway("mail/authkey", "no answer in time"), "away", 502),
        (UnreadableAnswer("mail/authkey", "JSON, but list where an object belongs"), "away", 502),
        (TimeoutError(), "away", 502),
    ],
)
def test_what_the_provider_said(error: Exception, result: str, status: int) -> None:
    """By whose fault it is; the reason is for operators and never empty."""
    verdict = provider_failed(error)
    assert (verdict.result, verdict.status) == (result, status)
    assert verdict.reason
    assert not verdict.detail
