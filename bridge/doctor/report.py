"""What the checks came to, for people in their language and for programs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from bridge.doctor.finding import Finding, NotJudged, Outcome
from bridge.doctor.texts import TEXTS, Words
from bridge.doctor.texts.words import Text

Language = Literal["en", "zh"]

HEALTHY: Final = 0
FINDINGS: Final = 1
NOT_JUDGED: Final = 2

_WITHOUT_SECRET: Final = frozenset(("no-secret", "secret-closed", "passwords-closed"))
_LONGEST: Final = 300
_LABELS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"ok": "ok", "why": "why it matters: ", "fix": "what to do: ", "unjudged": ", not judged", "of": ": "},
    "zh": {"ok": "正常", "why": "影响：", "fix": "处理：", "unjudged": "，未判断", "of": "："},
}
CHECKS_IN_CHINESE: Final[Mapping[str, str]] = {
    "settings": "设置",
    "names": "域名",
    "certificates": "证书",
    "clocks": "时钟",
    "redis": "Redis",
    "rights": "Redis 权限",
    "provider": "服务商",
    "leadership": "主持",
    "round trip": "全程",
    "alerts": "告警",
}
_SUMS: Final[Mapping[Language, str]] = {
    "en": "{checks} checks: {findings} findings, {unjudged} questions not judged",
    "zh": "{checks} 项检查：发现 {findings} 个问题，{unjudged} 个问题未判断",
}


def language_of(environ: Mapping[str, str]) -> Language:
    """The language of the locale; English if it is neither."""
    locale = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := environ.get(name))), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0: healthy · 1: somebody has to do something · 2: nothing was found, and a secret to judge with is not here.

    What could not be judged for another reason has a fix where it was asked, as a finding has, so it counts as one.
    """
    if any(outcome.findings for outcome in outcomes):
        return FINDINGS
    hidden = {each.code for outcome in outcomes for each in outcome.not_judged if not each.by_choice}
    if hidden & _WITHOUT_SECRET:
        return NOT_JUDGED
    return FINDINGS if hidden else HEALTHY


def lines(outcomes: Sequence[Outcome], language: Language) -> Iterator[str]:
    """The report, a line each."""
    labels = _LABELS[language]
    for outcome in outcomes:
        check = CHECKS_IN_CHINESE.get(outcome.check, outcome.check) if language == "zh" else outcome.check
        if not outcome.findings and not outcome.not_judged:
            yield f"[{labels['ok']}] {check}"
        for finding in outcome.findings:
            said = words_of(finding, language)
            yield f"[!!] {check}{labels['of']}{said.seen}  ({finding.code})"
            yield f"     {labels['why']}{said.why}"
            yield f"     {labels['fix']}{said.fix}"
        for each in outcome.not_judged:
            said = words_of(each, language)
            yield f"[--] {check}{labels['unjudged']}{labels['of']}{said.seen}  ({each.code})"
            yield f"     {labels['fix']}{said.fix}"
    yield _SUMS[language].format(
        checks=len(outcomes),
        findings=sum(len(outcome.findings) for outcome in outcomes),
        unjudged=sum(len(outcome.not_judged) for outcome in outcomes),
    )


def facts(outcomes: Sequence[Outcome], language: Language) -> dict[str, Any]:
    """The same as one JSON object."""
    return {
        "exit": exit_code(outcomes),
        "checks": [
            {
                "check": outcome.check,
                "findings": [_facts(each, language) for each in outcome.findings],
                "not_judged": [_facts(each, language) for each in outcome.not_judged],
            }
            for outcome in outcomes
        ],
    }


def _facts(each: Finding | NotJudged, language: Language) -> dict[str, Any]:
    said = words_of(each, language)
    return {
        "code": each.code,
        "seen": said.seen,
        "why": said.why,
        "fix": said.fix,
        "facts": {name: _harmless(value) for name, value in each.facts.items()},
    }


def words_of(each: Finding | NotJudged, language: Language) -> Words:
    """What is said of it, with what was seen in its place."""
    text: Text = TEXTS[each.code]
    words = text.zh if language == "zh" else text.en
    seen = words.seen.format_map({name: _harmless(value) for name, value in each.facts.items()})
    return Words(seen, words.why, words.fix)


def _harmless(value: object) -> str:
    """A fact as text: bounded, on one line, without characters that act on a terminal."""
    text = str(value)
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in cut)


def codes_as_rows(language: Language) -> Iterator[str]:
    """Each code as a row of the table in ``docs/operations.md``, or in ``docs/operations.zh-CN.md``."""
    for code, text in TEXTS.items():
        words = text.zh if language == "zh" else text.en
        yield f"| `{code}` | {words.why}{'' if language == 'zh' else ' '}{words.fix} |"


def language_here() -> Language:
    """The language of this process's locale."""
    return language_of(os.environ)
