"""Invent mails and people that look like those of a Chinese company, a few of them hostile.

Real traffic is mostly harmless, so a page that is wrong about ``<``, emoji or right-to-left text looks right until
the day it matters. Here about one mail in twenty is of that kind.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from random import Random

from bridge.simulator.world.account import Account


@dataclass(frozen=True, slots=True)
class Letter:
    """What the sender wrote."""

    sender: str
    subject: str
    summary: str


_SURNAMES = (
    ("王", "wang"), ("李", "li"), ("张", "zhang"), ("刘", "liu"), ("陈", "chen"), ("杨", "yang"), ("黄", "huang"),
    ("赵", "zhao"), ("周", "zhou"), ("吴", "wu"), ("徐", "xu"), ("孙", "sun"), ("欧阳", "ouyang"), ("林", "lin"),
)  # fmt: skip
_GIVEN = (
    ("伟", "wei"), ("芳", "fang"), ("娜", "na"), ("敏", "min"), ("静", "jing"), ("秀英", "xiuying"), ("丽", "li"),
    ("强", "qiang"), ("磊", "lei"), ("洋", "yang"), ("艳", "yan"), ("勇", "yong"), ("军", "jun"), ("杰", "jie"),
    ("娟", "juan"), ("涛", "tao"), ("超", "chao"), ("明", "ming"), ("霞", "xia"), ("志强", "zhiqiang"),
)  # fmt: skip
_POSITIONS = ("工程师", "产品经理", "会计", "销售经理", "人事专员", "设计师", "总监", "Engineer", "")
_PARTIES = (
    "广州研发中心/企业邮箱",
    "广州研发中心/测试组",
    "深圳总部/财务部",
    "深圳总部/人力资源部",
    "北京分公司/销售部",
    "市场部",
)

_SENDERS = (
    '"张伟" <zhangwei@gzdev.com>',
    '"财务部" <finance@gzdev.com>',
    '"人力资源" <hr@gzdev.com>',
    '"Alice Johnson" <alice.johnson@example.com>',
    '"GitHub" <notifications@github.example>',
    '"Test" <test@gzdev.com>',
    '"李娜（华南区）" <lina@partner.example.cn>',
    "noreply@bank.example",
)
_LETTERS = (
    ("关于本周五部门例会的通知", "各位同事：本周五下午三点在第二会议室召开部门例会，请提前准备本周工作总结。"),
    ("【重要】2026年第四季度预算审批", "请各部门负责人于周三前提交预算表，逾期将顺延至下一季度。"),
    ("回复: 合同终稿确认", "您好，附件为修改后的合同终稿，请查收并于今日内确认，谢谢！"),
    ("报销单已通过审批", "您提交的报销单（共 3 笔，合计 ¥1,286.50）已通过审批，预计三个工作日内到账。"),
    ("面试邀请 - 高级工程师", "尊敬的候选人：感谢您投递我司职位，诚邀您参加下周一上午十点的面试。"),
    ("转发: 服务器维护公告", "机房将于今晚 23:00 至次日 02:00 进行网络割接，期间服务可能短暂中断。"),
    (
        "Re: Q4 roadmap review",
        "Thanks for the draft. I left a few comments on the migration section; can we talk tomorrow?",
    ),
    ("Your invoice is ready", "Invoice INV-20261124 for USD 420.00 is attached. Payment is due within 30 days."),
    ("TestMail", "TestMail Content "),
    ("Build failed: main", "2 of 418 tests failed. First failure: test_resume_after_reconnect (assert 3 == 2)"),
)
_HOSTILE = (
    ("<img src=x onerror=alert(1)>", '<script>alert(document.cookie)</script> & <b>bold</b> &amp; "quotes" `ticks`'),
    ("🎉🎉 年会抽奖结果 👨‍👩‍👧‍👦", "恭喜 🐉 同事获得一等奖 🏆，请到前台领取。"),
    ("مرحبا بالعالم \u202egnp.exe", "שלום — right-to-left \u202e text \u202c and \u2066isolates\u2069."),
    ("", ""),
    ("{{constructor.constructor('alert(1)')()}} ${7*7} %s %d", "back\\slash \\u0041, tab\tnewline\nend; ]]> --> */"),
    ("很" * 120, "长" * 400),
    ("𠮷野家 Zürich naïve e\u0301", "a\u0000b zero, \u007f delete, \u2028 line, \ufeff mark, \ufffd replacement"),
)


class Letters:
    """A seeded writer of letters."""

    __slots__ = ("_random",)

    def __init__(self, random: Random) -> None:
        self._random = random

    def write(self) -> Letter:
        """The next letter."""
        chance = self._random.random
        sender = _SENDERS[int(chance() * len(_SENDERS))]
        texts = _HOSTILE if chance() < 0.05 else _LETTERS
        subject, summary = texts[int(chance() * len(texts))]
        return Letter(sender, subject, summary)


def invent_account(random: Random, *, domain: str, taken: Container[str]) -> Account:
    """A plausible new account whose alias is not in ``taken``."""
    (surname, surname_latin), (given, given_latin) = random.choice(_SURNAMES), random.choice(_GIVEN)
    local, number = f"{given_latin}.{surname_latin}", 1
    while f"{local}@{domain}" in taken:
        number += 1 + int(random.random() * number)
        local = f"{given_latin}.{surname_latin}{number}"
    return Account(
        alias=f"{local}@{domain}",
        name=surname + given,
        gender=random.choice((0, 1, 2)),
        slaves=(f"{local}.mail@{domain}",) if random.random() < 0.2 else (),
        position=invent_position(random),
        tel=f"020-{random.randint(10_000_000, 99_999_999)}" if random.random() < 0.5 else "",
        mobile=f"13{random.randint(100_000_000, 999_999_999)}",
        ext_id=str(random.randint(1000, 9999)),
        parties=tuple(random.sample(_PARTIES, random.choice((0, 1, 1, 1, 2)))),
    )


def invent_party(random: Random) -> str:
    """Some department."""
    return random.choice(_PARTIES)


def invent_position(random: Random) -> str:
    """Somebody's job."""
    return random.choice(_POSITIONS)
