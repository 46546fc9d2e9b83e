"""The page of a click that fails: what happened, and how to get to the mailbox all the same.

It needs no script and allows none. What it quotes may come from strangers, so all of it is escaped.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from typing import Final

from bridge.signon.verdict import Verdict
from bridge.signon.words import Words, cause

_STYLE: Final = (
    "body{margin:0;min-height:100vh;display:grid;place-items:center;background:#f5f4f1;color:#1d2022;"
    "font:16px/1.6 system-ui,-apple-system,'Segoe UI',Roboto,'PingFang SC','Microsoft YaHei',sans-serif}"
    "main{max-width:30em;margin:1.5em;padding:2em;background:#fff;border:1px solid #e4e2dc;border-radius:14px}"
    "h1{margin:0 0 .4em;font-size:1.3em}p{margin:.6em 0}a{color:#0b7d6e}code{font-size:.85em;color:#666b6e}"
    "@media(prefers-color-scheme:dark){body{background:#101314;color:#e9ebea}"
    "main{background:#181c1e;border-color:#2a3032}a{color:#3fc3ae}code{color:#98a09f}}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""``Content-Security-Policy`` of the page."""


def render(verdict: Verdict, words: Words, *, login_page: str, again: str | None) -> str:
    """The page. ``again`` is the address that repeats the click, ``None`` where its credential is spent."""
    title, sentence = words.causes[cause(verdict)]
    lines = [f"<p>{escape(sentence)}</p>"]
    if verdict.detail:
        lines.append(f'<p lang="en"><code>{escape(verdict.detail)}</code></p>')
    if verdict.result == "limited":
        lines.append(f"<p>{escape(words.wait.format(verdict.retry_after_s))}</p>")
    if verdict.passes and again is not None:
        lines.append(f'<p><a id="again" href="{escape(again)}">{escape(words.again)}</a></p>')
    elif verdict.passes:
        lines.append(f"<p>{escape(words.click_again)}</p>")
    lines.append(f'<p><a id="login" rel="noreferrer" href="{escape(login_page)}">{escape(words.login)}</a></p>')
    return (
        f'<!doctype html><html lang="{words.lang}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f'<body><main data-result="{verdict.result}"><h1>{escape(title)}</h1>{"".join(lines)}</main></body></html>'
    )
