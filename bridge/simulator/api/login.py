"""The way into a mailbox: ``mail/authkey`` and the login page that a browser opens with the key (protocol 3.1).

The page is for people and for tests of a click: it says whose mailbox and which mail would be open, or why not, in
words and as ``data-`` attributes of its ``main``. What is in a mail was written by strangers, so all of it is
escaped, and the page allows no script at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import islice

from bridge.simulator.api.question import Page, Question
from bridge.simulator.world.account import Account
from bridge.simulator.world.auth_keys import KeyVerdict
from bridge.simulator.world.mail import Mail

MOST_SHOWN = 20

_WHY: Mapping[str, str] = {
    "bad-request": "This is no login link.",
    "wrong-agent": "The link is not from your company's administrator.",
    "no-such-user": "There is no such mailbox.",
    "disabled": "This account is disabled.",
    KeyVerdict.UNKNOWN: "The link is not valid.",
    KeyVerdict.WRONG_USER: "The link is for somebody else's mailbox.",
    KeyVerdict.USED: "The link has been used already.",
    KeyVerdict.EXPIRED: "The link has expired.",
}


def auth_key(question: Question) -> dict[str, object]:
    """``openapi/mail/authkey`` (protocol 3.1.1); a disabled account gets a key too, and the page refuses it."""
    account = question.require_account()
    text = question.world.auth_keys.issue(account.alias, life_s=question.rules.auth_key_life_s)
    return {question.dialect.auth_key_name.value: text}


def login(question: Question) -> Page:
    """``cgi-bin/login`` (protocol 3.1.2): HTTP 200 whatever comes of it, as a web page would."""
    ask = question.request.param
    if ask("fun") != "bizopenssologin" or ask("method") != "bizauth":
        return refused("bad-request")
    if ask("agent") != question.world.client_id:
        return refused("wrong-agent")
    account = question.world.account(ask("user") or "")
    if account is None:
        return refused("no-such-user")
    if account.disabled:
        return refused("disabled")
    verdict = question.world.auth_keys.redeem(account.alias, ask("ticket") or "")
    if verdict is not KeyVerdict.OPENS:
        return refused(verdict)
    return _opened(question, account, ask("mailid"))


def refused(outcome: str) -> Page:
    """The page of a login that failed."""
    why = _WHY.get(outcome, f"The mailbox cannot be opened now ({outcome}).")
    return Page(_html("Login failed", f"<p>{escape(why)}</p>", outcome=outcome), outcome)


def _opened(question: Question, account: Account, mail_id: str | None) -> Page:
    # A mailbox whose main address was swapped has mails under both names.
    names = {account.alias, *account.slaves}
    mails = [mail for mail in reversed(question.world.mails) if mail.mailbox in names]
    mail = next((mail for mail in mails if mail.mail_id == mail_id), None) if mail_id else None
    if mail is not None:
        content = _letter(mail)
    else:
        missing = "<p>This mail is not in the mailbox.</p>" if mail_id else ""
        unread = question.world.unread[account.alias]
        content = f"{missing}<p>Unread: {unread}</p><ul>{''.join(map(_line, islice(mails, MOST_SHOWN)))}</ul>"
    title = f"{account.name} <{account.alias}>"
    facts = {"mailbox": account.alias, "mail_id": mail.mail_id if mail is not None else ""}
    return Page(_html(title, content, outcome="ok", **facts), "ok")


def _letter(mail: Mail) -> str:
    subject, sender, summary = map(_text, (mail.subject, mail.sender, mail.summary))
    return f"<article><h2>{subject}</h2><p>{sender}</p><p>{summary}</p></article>"


def _line(mail: Mail) -> str:
    return f"<li>{_text(mail.subject)} {_text(mail.sender)}</li>"


def _text(foreign: str) -> str:
    # ``bdi`` keeps right-to-left text inside its place; NUL has no meaning in HTML.
    return f"<bdi>{escape(foreign).replace(chr(0), chr(0xFFFD))}</bdi>"


def _html(title: str, content: str, **facts: str) -> bytes:
    data = "".join(f' data-{name.replace("_", "-")}="{escape(fact)}"' for name, fact in facts.items())
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
        f"<title>{escape(title)}</title></head><body><main{data}><h1>{escape(title)}</h1>{content}</main></body></html>"
    )
    return page.encode("utf-8", "replace")
