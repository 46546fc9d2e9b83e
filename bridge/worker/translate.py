"""From a push to the call that records it. Pure; the only place that a mail's text passes through.

Privacy is applied here, before anything is kept or published, and so are the bounds: a subject of 10 MB is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.events import MAIL_MISSED, MAIL_NEW, MAIL_UNREAD, Event, build_event, normalise_address, to_json
from bridge.journal.calls import RecordCount, RecordMail, RecordPoll
from bridge.journal.made import Privacy
from bridge.provider.pushes import MailArrived, UnreadChanged

_SHOWN: Final[Mapping[Privacy, frozenset[str]]] = {
    "full": frozenset(("sender", "receiver", "mail_subject", "summary")),
    "subject": frozenset(("sender", "receiver", "mail_subject")),
    "sender": frozenset(("sender", "receiver")),
    "count": frozenset(),
}
_LONGEST: Final = {"sender": 512, "receiver": 2048, "mail_subject": 1024, "summary": 2048}
_LONGEST_ID: Final = 256
_TYPE_NEW: Final = f'"type":"{MAIL_NEW}"'.encode()
_TYPE_UNREAD: Final = f'"type":"{MAIL_UNREAD}"'.encode()


class BadAddress(ValueError):
    """The mailbox of a push cannot be an address."""


@dataclass(frozen=True, slots=True)
class Translator:
    """Turns pushes into calls. ``slaves`` (别名 → account) is looked up for each push and may change between two."""

    namespace: str
    privacy: Privacy
    slaves: Mapping[str, str]

    def mailbox(self, address: str) -> str:
        """The account that an address stands for.

        Raises:
            BadAddress
        """
        mailbox = normalise_address(address)
        if mailbox is None:
            raise BadAddress
        return self.slaves.get(mailbox, mailbox)

    def mail(self, push: MailArrived, *, time_s: float) -> RecordMail:
        """A mail that arrived at ``time_s``.

        Raises:
            BadAddress
        """
        mailbox = self.mailbox(push.mailbox)
        # Ids end up in links and logs: what is too long or not printable (line ends, bidi controls) is none. Without an
        # id the mail is announced all the same, but not de-duplicated.
        mail_id = push.mail_id if len(push.mail_id) <= _LONGEST_ID and push.mail_id.isprintable() else ""
        data: dict[str, Any] = {"mailbox": mailbox, "mail_id": mail_id}
        shown = _SHOWN[self.privacy]
        if shown:
            for name, text in (
                ("sender", push.sender),
                ("receiver", push.receiver),
                ("mail_subject", push.subject),
                ("summary", push.summary),
            ):
                if text is not None and name in shown:
                    data[name] = _bounded(text, _LONGEST[name])
        data["unread"] = push.unread
        event = build_event(
            namespace=self.namespace, stream=mailbox, type=MAIL_NEW, time_s=time_s, data=data, stamped=True
        )
        return RecordMail(event, mail_id, push.unread, _correction(event, mailbox, push.unread))

    def unread(self, push: UnreadChanged, *, time_s: float) -> RecordCount:
        """A count that changed.

        Raises:
            BadAddress
        """
        mailbox = self.mailbox(push.mailbox)
        return RecordCount(self._count(mailbox, push.unread, "push", time_s), push.unread)

    def polled(
        self, mailbox: str, unread: int, *, asked_at: int, proven: int | None = None, time_s: float
    ) -> RecordPoll:
        """A count that was asked for when the mailbox's seq was ``asked_at``.

        ``proven``: for so many mails no push can be under way any more, so those that were not pushed are lost.
        """
        missed = build_event(
            namespace=self.namespace,
            stream=mailbox,
            type=MAIL_MISSED,
            time_s=time_s,
            data={"mailbox": mailbox},
            stamped=True,
            stamp="since",
        )
        return RecordPoll(self._count(mailbox, unread, "reconcile", time_s), unread, asked_at, missed, proven)

    def _count(self, mailbox: str, unread: int | None, reason: str, time_s: float) -> Event:
        data = {"mailbox": mailbox, "reason": reason, "unread": unread}
        return build_event(
            namespace=self.namespace, stream=mailbox, type=MAIL_UNREAD, time_s=time_s, data=data, stamped=True
        )


def _correction(mail: Event, mailbox: str, unread: int | None) -> Event:
    """The count that a mail brought, as an event of its own; the same as building it anew, in a third of the time.

    Quotes inside strings are escaped, so what stands before the first ``"data":{`` is the head, and in it the first
    type is the event's.
    """
    head = mail.body[: mail.body.index(b'"data":{')].replace(_TYPE_NEW, _TYPE_UNREAD, 1)
    data = to_json({"mailbox": mailbox, "reason": "push", "unread": unread})
    return Event(MAIL_UNREAD, mailbox, b'%b"data":%b,"as_of":' % (head, data[:-1]), True)


def _bounded(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
