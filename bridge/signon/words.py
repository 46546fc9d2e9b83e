"""What people read when a click fails, in both languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from bridge.signon.verdict import Verdict

Language = Literal["zh", "en"]

_PREFERENCE: Final = re.compile(r"\s*([a-z*]{1,8})(?:-[a-z0-9-]*)?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?\s*", re.I)


@dataclass(frozen=True, slots=True)
class Words:
    """One language. ``causes`` has a heading and a sentence for each way of failing (:func:`cause`)."""

    lang: str
    again: str
    click_again: str
    wait: str
    login: str
    causes: dict[str, tuple[str, str]]


ENGLISH: Final = Words(
    lang="en",
    again="Try again",
    click_again="To try again, close this window and click the mail once more.",
    wait="Please wait {} seconds.",
    login="Open the sign-in page of Tencent Exmail",
    causes={
        "unproved": (
            "You are not signed in",
            "We do not know who you are: your sign-in has ended, or this link was used already. "
            "Go back to the page that you came from, load it again, and click the mail once more.",
        ),
        "refused": ("This is not open to you", "Your sign-in does not allow this mailbox to be opened from here."),
        "scope": ("This is not open to you", "Your sign-in does not allow mailboxes to be opened with one click."),
        "request": ("This link does not work", "Something is wrong with the link itself."),
        "limited": ("Too many clicks", "This mailbox was opened very often within a minute."),
        "away": ("Tencent Exmail does not answer", "Your mailbox cannot be opened with one click at the moment."),
        "busy": ("Tencent Exmail is busy", "Your mailbox cannot be opened with one click at the moment."),
        "denied": (
            "Tencent Exmail refused",
            "It does not let us open mailboxes at the moment. If this lasts, tell your administrator.",
        ),
        "unknown": (
            "This mailbox does not exist",
            "Tencent Exmail knows no mailbox of this name. If that is a surprise, tell your administrator.",
        ),
        "journal": ("We cannot do this right now", "A part of this service is away; it usually returns by itself."),
    },
)

CHINESE: Final = Words(
    lang="zh-CN",
    again="重试",
    click_again="如需重试，请关闭此窗口，再点一次那封邮件。",
    wait="请等待 {} 秒。",
    login="打开腾讯企业邮箱登录页",
    causes={
        "unproved": (
            "您尚未登录",
            "无法确认您的身份：登录已失效，或此链接已被使用过。请回到原来的页面，刷新后再点一次那封邮件。",
        ),
        "refused": ("您无权打开", "您的登录身份不能从这里打开该邮箱。"),
        "scope": ("您无权打开", "您的登录身份不允许一键打开邮箱。"),
        "request": ("链接无效", "这个链接本身有问题。"),
        "limited": ("点击过于频繁", "该邮箱在一分钟内被打开了太多次。"),
        "away": ("腾讯企业邮箱没有响应", "暂时无法一键打开您的邮箱。"),
        "busy": ("腾讯企业邮箱正忙", "暂时无法一键打开您的邮箱。"),
        "denied": ("腾讯企业邮箱拒绝了请求", "目前不允许一键打开邮箱。如果一直如此，请联系管理员。"),
        "unknown": ("邮箱不存在", "腾讯企业邮箱中没有这个邮箱。如有疑问，请联系管理员。"),
        "journal": ("暂时无法处理", "服务的一部分暂时不可用，通常会自行恢复。"),
    },
)

BY_LANGUAGE: Final[dict[Language, Words]] = {"zh": CHINESE, "en": ENGLISH}


def cause(verdict: Verdict) -> str:
    """The entry of ``causes`` for a verdict."""
    return "unproved" if verdict.status == 401 else verdict.result


def language_of(accept_language: str) -> Language:
    """Choose by ``Accept-Language`` (RFC 9110, 12.5.4); English where it names neither."""
    best: Language = "en"
    highest = 0.0
    for preference in accept_language.split(","):
        match = _PREFERENCE.fullmatch(preference)
        if match is None:
            continue
        quality = float(match[2] or 1)
        for language in BY_LANGUAGE:
            if match[1].lower() == language and quality > highest:
                best, highest = language, quality
    return best
