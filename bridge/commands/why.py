"""``why``: follow one mail from the push to the browsers, and say where it stopped.

Each line is a station that the mail has to pass; the last line says what that means.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bridge.commands.command import OK, Command, add_settings_options, operator_settings
from bridge.commands.directory import address
from bridge.commands.leader import connected, shown, shown_json, why_no_writes
from bridge.events import MAIL_MISSED, Position, parse_position, timestamp, to_json
from bridge.settings import Settings

if TYPE_CHECKING:
    from bridge.journal.databases import Databases
    from bridge.journal.inquiry import Answer, Inquiries
    from bridge.journal.orders import Orders
    from bridge.journal.reader import Reader, UpstreamStatus
    from bridge.journal.trace import Account, Published, Stored, Trace

_LATEST: Final = 5
_GAPS: Final = 5
_PATIENCE_S: Final = 3.0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)
    parser.add_argument("mailbox", metavar="MAILBOX", type=address, help="any address of the account")
    parser.add_argument("mail_id", metavar="MAILID", nargs="?", help="the mail; without it the newest ones are shown")
    parser.add_argument("--json", action="store_true", help="everything that was found, as one JSON object")


def _run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_explain(operator_settings(arguments), arguments))


async def _explain(settings: Settings, arguments: argparse.Namespace) -> int:
    async with _reaching(settings) as (trace, reader, orders, inquiries, databases):
        found = await _collect(trace, reader, orders, inquiries, databases, arguments.mailbox, arguments.mail_id)
    if arguments.json:
        sys.stdout.buffer.write(shown_json(to_json(found.facts())) + b"\n")
        return OK
    for name, text in found.stations():
        sys.stdout.write(f"{name:<12} {shown(text)}\n")
    sys.stdout.write(f"\n{shown(found.verdict())}\n")
    return OK


@asynccontextmanager
async def _reaching(settings: Settings) -> AsyncIterator[tuple[Trace, Reader, Orders, Inquiries, Databases]]:
    from bridge.app.parts import build_reader
    from bridge.journal.databases import Databases
    from bridge.journal.inquiry import Inquiries
    from bridge.journal.orders import Orders
    from bridge.journal.trace import Trace

    async with connected(settings) as (redis, keys):
        asked = Orders(redis, keys), Inquiries(redis, keys), Databases(redis, keys)
        yield Trace(redis, keys), build_reader(settings, redis), *asked


@dataclass
class Findings:
    """Everything that was found, and what follows from it. Times in epoch ms.

    ``heard``: how many edges were asked. ``no_writes``: why Redis takes none, so that no edge can answer; empty if it
    takes them.
    """

    asked: str
    mail_id: str | None
    account: Account
    upstream: UpstreamStatus
    stored: Stored
    seen: float | None
    mails: Sequence[Published]
    gaps: Sequence[Mapping[str, Any]]
    missed: Sequence[Mapping[str, Any]]
    dead: int
    edges: Sequence[Answer]
    heard: int
    no_writes: str
    elsewhere: Sequence[int]
    now: float = field(default_factory=lambda: time.time() * 1000)

    @property
    def mail(self) -> Published | None:
        """The event of the mail in question."""
        return self.mails[0] if self.mail_id is not None and self.mails else None

    @property
    def open(self) -> list[tuple[str, Mapping[str, Any]]]:
        """``(edge, connection)`` of all connections to the mailbox that are open now."""
        return [(edge["edge"], each) for edge in self.edges for each in edge["open"]]

    @property
    def more_open(self) -> int:
        """How many open connections no edge describes: they were sent as much as those that are described."""
        return sum(max(0, edge.get("open_in_all", 0) - len(edge["open"])) for edge in self.edges)

    @property
    def ended(self) -> list[tuple[str, Mapping[str, Any]]]:
        """``(edge, connection)`` of those that have ended, newest first."""
        ended = [(edge["edge"], each) for edge in self.edges for each in edge["ended"]]
        return sorted(ended, key=lambda pair: -pair[1]["until"])

    @property
    def silent(self) -> int:
        """How many edges did not answer: whom they have is not known."""
        return max(0, self.heard - len(self.edges))

    def has_it(self, connection: Mapping[str, Any]) -> bool:
        """Whether the mail was written to a connection's socket."""
        reached = parse_position(connection["position"])
        return self.mail is not None and reached is not None and _reaches(reached, self.mail.position)

    def came_after(self, connection: Mapping[str, Any]) -> bool:
        """Whether a connection began after the mail was published, and not at a position before it: its snapshot may
        have the mail among the newest, and announces none."""
        if self.mail is None:
            return False
        after = parse_position(connection.get("after", ""))
        if after is not None and after.epoch == self.mail.position.epoch and after.seq < self.mail.position.seq:
            return False
        # An edge of an earlier release says by its own clock when that was.
        opened = connection.get("opened", connection["since"])
        return bool(opened > (self.mail.event["data"].get("as_of") or math.inf))

    def facts(self) -> dict[str, Any]:
        """What ``--json`` prints. No subject, no summary, no sender."""
        return {
            "mailbox": self.account.address,
            "account": asdict(self.account),
            "upstream": asdict(self.upstream),
            "top": None if self.stored.top is None else str(self.stored.top),
            "unread": self.stored.unread,
            "as_of": self.stored.as_of,
            "published_ms": self.seen,
            "mails": [
                {"mail_id": mail.event["data"]["mail_id"], "position": str(mail.position), "time": mail.event["time"]}
                for mail in self.mails
            ],
            "gaps": list(self.gaps),
            "missed": list(self.missed),
            "dead": self.dead,
            "edges": list(self.edges),
            "edges_asked": self.heard,
            "no_writes": self.no_writes or None,
            "led_in_databases": list(self.elsewhere),
            "verdict": self.verdict(),
        }

    def stations(self) -> list[tuple[str, str]]:
        """``(name, text)`` of each station, in the order in which a mail passes them."""
        return [
            ("account", self._account()),
            ("provider", self._provider()),
            *(("gap", self._gap(gap)) for gap in self.gaps[:_GAPS]),
            *(("missed", f"{_span(each)}: at least {each['at_least']} mails") for each in self.missed[:_GAPS]),
            *([("dead", f"{self.dead} documents could not be read; see `dead`")] if self.dead else []),
            *(("recorded", self._recorded(mail)) for mail in self.mails),
            *([] if self.mails or self.mail_id is None else [("recorded", self._unrecorded())]),
            ("count", self._count()),
            *(("connection", self._connection(edge, each)) for edge, each in self.open),
            *([("connection", f"{self.more_open} more, none of them further behind")] if self.more_open else []),
            *(("ended", self._ended(edge, each)) for edge, each in self.ended[:_LATEST]),
            ("edges", f"{len(self.edges)} of {self.heard} answered" if self.heard else "none runs"),
            *([("redis", f"takes no writes: {self.no_writes}")] if self.no_writes else []),
            *([("server", self._neighbours())] if self.elsewhere else []),
        ]

    def _neighbours(self) -> str:
        numbers = ", ".join(map(str, self.elsewhere))
        return f"another bridge of this namespace leads in its database {numbers}; each of the two hears both"

    def _gap(self, gap: Mapping[str, Any]) -> str:
        return f"{_span(gap)}: {gap.get('why', 'nobody listened')}, pushes are lost"

    def _account(self) -> str:
        account = self.account
        what = f"{self.asked} is another address (别名) of {account.address}: " if self.asked != account.address else ""
        known = "in the directory" if account.known else "not in the directory: an address of its own"
        return f"{what}{account.address}, {'disabled or deleted' if account.barred else known}"

    def _provider(self) -> str:
        since = "" if self.upstream.since is None else f" since {timestamp(self.upstream.since / 1000)}"
        return f"{self.upstream.state}{since}{f' ({self.upstream.why})' if self.upstream.why else ''}"

    def _recorded(self, mail: Published) -> str:
        data = mail.event["data"]
        where = "in the history" if mail.in_history else "only in the stream of all events, not in the history any more"
        old = ""
        if self.stored.top is None or mail.position.epoch != self.stored.top.epoch:
            old = "; that history was begun anew since, browsers cannot resume to it"
        name = data["mail_id"] or "a mail without an id"
        return f"{name} at {mail.event['time']} as {mail.position}, published in the same step; {where}{old}"

    def _unrecorded(self) -> str:
        if self.seen is None:
            return "no"
        return f"at {timestamp(self.seen / 1000)}, published in the same step; its event is not kept any more"

    def _count(self) -> str:
        stored = self.stored
        if stored.unread is None or stored.as_of is None:
            return "unknown; asked for when the mailbox is opened"
        doubt = "; doubtful, pushes may have been missed since" if stored.doubtful else ""
        return f"{stored.unread} unread as of {timestamp(stored.as_of / 1000)}{doubt}"

    def _connection(self, edge: str, each: Mapping[str, Any]) -> str:
        unsent = f", {each['unsent']} bytes unsent" if each["unsent"] else ""
        has = "" if self.mail is None else ", has been sent it" if self.has_it(each) else ", has not been sent it"
        if self.came_after(each):
            has = ", opened after it"
        # By the clock that mails are stamped by, where the edge says it.
        since = timestamp(each.get("opened", each["since"]) / 1000)
        return f"{edge}: {each['transport']} since {since}, at {each['position']}{unsent}{has}"

    def _ended(self, edge: str, each: Mapping[str, Any]) -> str:
        from bridge.access.codes import REASONS

        code = each["code"]
        why = REASONS.get(code, "cut" if code == 1006 else "closed by the client")
        has = ", had been sent it" if self._delivered(each) else ""
        until = timestamp(each["until"] / 1000)
        return f"{edge}: {each['transport']} until {until}, at {each['position']}: {code} {why}{has}"

    def verdict(self) -> str:
        """What follows from the stations."""
        if self.account.barred:
            return "The account is disabled or deleted at the provider: nobody may follow its mailbox."
        if self.mail_id is not None and self.mail is None:
            return self._verdict_unrecorded()
        if not self.heard:
            return "No edge runs: browsers cannot be told anything. Services that read Redis can."
        if self.silent and not self.open:
            return self._verdict_unanswered()
        if not self.open:
            if any(self._delivered(each) for _, each in self.ended):
                return "It was sent to a browser that has gone since. No browser looks at this mailbox now."
            return (
                "No browser looks at this mailbox now; one that comes back is given what it missed. "
                "Is the page open, with the right token, on the right address?"
            )
        if self.mail is None:
            return "Browsers are connected. Name a MailId to follow one mail."
        if all(self.came_after(each) for _, each in self.open):
            return self._verdict_late()
        if all(self.has_it(each) for _, each in self.open):
            known = f" of the {len(self.edges)} edges that answered, of {self.heard}" if self.silent else ""
            return f"It was sent to every open connection{known}: look at the page's own code, or at the browser."
        return (
            "It was published and a connection has not been sent it: that socket takes nothing (see unsent) or the "
            "edge has not caught up; it is cut after 30 s and comes back."
        )

    def _delivered(self, connection: Mapping[str, Any]) -> bool:
        return self.has_it(connection) and not self.came_after(connection)

    def _verdict_late(self) -> str:
        if any(self._delivered(each) for _, each in self.ended):
            return "It was sent to a browser that has gone since. Who is connected now came after it."
        return (
            "It was published before who is connected now came. A page that comes back with its position is given what "
            "it missed; one that is loaded anew has the mail among its newest at most, and announces it to nobody."
        )

    def _verdict_unanswered(self) -> str:
        if self.no_writes:
            return "Redis takes no writes now, so no edge can say who has this mailbox open. See `status`."
        return (
            f"{self.silent} of {self.heard} edges did not answer: whether a browser looks at this mailbox there is not "
            "known. Such an edge hangs, or is of an older release; `status` names the others."
        )

    def _verdict_unrecorded(self) -> str:
        if self.seen is not None:
            return "It was published at that time; whoever was connected then was told."
        if self.no_writes:
            return (
                "It is not recorded, and Redis takes no writes now: what the provider pushes waits in the worker. See "
                "`status`."
            )
        if self.upstream.state != "connected":
            return "It was never recorded, and the provider is not connected now: new mail is not announced."
        if self.gaps or self.missed:
            return (
                "It was never recorded. If it came in one of the gaps above, it is lost: the provider does not push "
                "again. Else the provider did not push it."
            )
        return (
            "It was never recorded: the provider did not push it, at least not for this address and with this MailId."
        )


async def _collect(
    trace: Trace,
    reader: Reader,
    orders: Orders,
    inquiries: Inquiries,
    databases: Databases,
    asked: str,
    mail_id: str | None,
) -> Findings:
    from bridge.journal.inquiry import by_edge

    account = await trace.account(asked)
    mailbox = account.address
    if mail_id is None:
        mails = await trace.mails(mailbox, _LATEST)
    else:
        mail = await trace.mail(mailbox, mail_id)
        mails = [] if mail is None else [mail]
    no_writes = await why_no_writes(orders)
    answers, heard = await inquiries.ask(mailbox, within_s=0.0 if no_writes else _PATIENCE_S)
    return Findings(
        asked=asked,
        mail_id=mail_id,
        account=account,
        upstream=await reader.upstream(),
        stored=await trace.stored(mailbox),
        seen=None if mail_id is None else await trace.seen(mailbox, mail_id),
        mails=mails,
        gaps=await trace.gaps(),
        missed=await trace.data_of(mailbox, MAIL_MISSED),
        dead=await trace.dead(),
        edges=by_edge(answers),
        heard=heard,
        no_writes=no_writes,
        elsewhere=await databases.led_elsewhere(),
    )


def _reaches(reached: Position, wanted: Position) -> bool:
    return reached.epoch == wanted.epoch and reached.seq >= wanted.seq


def _span(data: Mapping[str, Any]) -> str:
    since = "ever" if data["since"] is None else timestamp(data["since"] / 1000)
    return f"{since} to {timestamp(data['until'] / 1000)}"


COMMAND = Command(
    name="why",
    summary="why was somebody not told of a mail? Follow it from the push to the browsers",
    examples=(
        "why bob@gzdev.com",
        "why bob@gzdev.com ZC4028-FPiX_oOG5HUh4XorwyhAY33",
        "why bob@gzdev.com --json --dev",
    ),
    add_arguments=_add_arguments,
    run=_run,
)
