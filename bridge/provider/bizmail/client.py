"""The provider as an object: one thin method an endpoint.

What is sent is checked by the table in ``endpoints`` and ``parameters``, what an answer means is in ``answers``, what
all calls share in ``calls``, how bytes travel in ``transport``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, Self, Unpack

import aiohttp

from ..egress import Egress
from ..members import Profile, ProfileFields
from ..pace import Pace
from . import answers, endpoints, login
from .asking import SETTLE_S
from .calls import Calls, Outcome
from .form import series
from .listen import ListenSession
from .models import AddressCheck, AuthKey, Delta
from .parameters import MOST_CHECKED
from .recording import Recorder
from .rules import is_far_ahead, is_ver
from .token import MemoryTokenStore, Token, TokenStore
from .transport import Transport

API_URL: Final = "http://openapi.exmail.qq.com:12211"
"""Where the provider answers calls (protocol 2.3)."""
AUTH_URL: Final = "https://exmail.qq.com"
"""Where it gives tokens and lets people in (protocol 2.3, 3.1.2)."""
BUSY_WAIT_S: Final = 0.5
WAIT_S: Final = 60.0

GroupStatus = Literal["all", "inner", "group", "list"]
"""Who may write to a group: everybody, the corporation, its members, those on its allow list."""


class ProviderClient:
    """Calls the provider on behalf of one client id (protocol 2.3 and 3).

    ``async with ProviderClient(client_id=…, client_secret=…) as client:`` opens a session by the way out that the
    environment names (``HTTPS_PROXY``, ``NO_PROXY``) and closes it at the end. A ``session`` that is given is the
    caller's to close, and the client can be used without a block; listen goes out by the way of the session
    (:meth:`bridge.provider.Egress.session`). ``client_secret`` is the key, or a function that is asked for it each time
    it is needed, so that it can be changed while we run. ``on_call(endpoint,
    outcome, seconds, errcode)`` hears of every request that went out, with outcome ``ok``, ``refused``, ``busy``,
    ``away`` or ``token``, and the errcode where it was refused, else ``""``. ``timeout_s`` bounds the wait for an
    answer, from when the request is sent; ``wait_s`` the time before that, which many calls at once spend waiting for
    one another. ``rate``: at most so many calls a second, evenly.

    ``busy_wait_s`` bounds the first pause when the provider says 1002, doubled for each further one up to eight
    seconds; four tries, of calls only that may be sent twice without harm. Calls that read are also tried three times
    where the provider breaks off or says 502; a write never is.

    Every method that calls raises :class:`.errors.BadParameter` before anything is sent, or :class:`ProviderAway`,
    :class:`UnreadableAnswer`, :class:`NotUsable`, or the :class:`ProviderRefused` that stands for the provider's
    errcode. A write that ends in :class:`OutcomeUnknown`, or in ``ProviderAway`` with ``sent``, may have been done.
    """

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str | Callable[[], str],
        api_url: str = API_URL,
        auth_url: str = AUTH_URL,
        session: aiohttp.ClientSession | None = None,
        tokens: TokenStore | None = None,
        on_call: Callable[[str, Outcome, float, str], None] | None = None,
        timeout_s: float = 20,
        wait_s: float = WAIT_S,
        rate: float | None = None,
        busy_wait_s: float = BUSY_WAIT_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._transport = Transport(
            api_url=api_url, auth_url=auth_url, session=session, timeout_s=timeout_s, wait_s=wait_s
        )
        self._brings_session = session is None
        self._auth_url = auth_url
        self._client_id = client_id
        self._call = Calls(
            self._transport,
            client_id=client_id,
            client_secret=(lambda: client_secret) if isinstance(client_secret, str) else client_secret,
            store=MemoryTokenStore() if tokens is None else tokens,
            on_call=on_call,
            pace=Pace(rate),
            busy_wait_s=busy_wait_s,
            now=now,
        )
        self._now = now
        self._highest_ver = 0
        self.recorder = Recorder()
        """Hears the listen sessions; records when it is asked to."""

    async def __aenter__(self) -> Self:
        if self._brings_session:
            self._transport.exchanges.use(Egress.of_environment().session())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._brings_session:
            await self._transport.exchanges.close()

    # Token, login, pushes.

    async def token(self, *, anew: bool = False) -> Token:
        """The access token to use now (protocol 2.3); fetched if there is none or its time is over.

        ``anew``: fetched whatever there is, which proves client id and key; all that share the store will use it.
        """
        return await (self._call.tokens.new() if anew else self._call.tokens.current())

    async def authkey(self, alias: str) -> AuthKey:
        """A key that opens the mailbox of ``alias`` once (protocol 3.1.1), for :meth:`login_url`.

        Raises:
            NotFound: no such account.
        """
        return answers.read_auth_key(await self._call(endpoints.AUTHKEY, alias=alias))

    def login_url(self, user: str, *, ticket: str | AuthKey, mail_id: str | None = None) -> str:
        """The address that opens a mailbox once (protocol 3.1.2): see :func:`.login.login_url`. Sends nothing."""
        return login.login_url(self._auth_url, agent=self._client_id, user=user, ticket=ticket, mail_id=mail_id)

    def listen(
        self,
        *,
        ver: Callable[[], int],
        silence_s: float,
        settle_s: float = SETTLE_S,
    ) -> ListenSession:
        """One listen session (protocol 3.2.1), to be entered with ``async with`` and read with ``async for``.

        ``ver`` gives the cursor each time the provider is asked. Silence of ``silence_s`` seconds brings a probe,
        of three times that the end. ``settle_s`` is the second of the asking rule. Whoever has to know more than the
        pushes (whether we are listened to, since when, and what was missed) asks :meth:`.ListenSession.next` instead.
        """
        return ListenSession(
            transport=self._transport,
            tokens=self._call.tokens,
            ver=lambda: self._ver_to_ask_with(ver()),
            on_ver=lambda pushed: self._ver_pushed(pushed, ver()),
            silence_s=silence_s,
            settle_s=settle_s,
            recorder=self.recorder,
        )

    def _ver_to_ask_with(self, cursor: int) -> int:
        # A delta that is slow or held must not make the provider push the same Ver over and over.
        return max(cursor if is_ver(cursor) else 0, self._highest_ver)

    def _ver_pushed(self, ver: int, cursor: int) -> bool:
        """Remember a Ver that was pushed; say whether it can be one."""
        if is_far_ahead(ver, now_s=self._now(), cursor=cursor if is_ver(cursor) else 0):
            return False
        self._highest_ver = max(self._highest_ver, ver)
        return True

    # Accounts.

    async def user_get(self, alias: str) -> Profile:
        """One account (protocol 3.3.1).

        Raises:
            NotFound: no such account; deleted in the meantime, perhaps.
        """
        return answers.read_profile(await self._call(endpoints.USER_GET, alias=alias))

    async def user_add(self, alias: str, *, name: str, password: str, **profile: Unpack[ProfileFields]) -> None:
        """Add an account (protocol 3.3.2). A department that was just added may take a second to exist.

        Raises:
            CallerFault: the address exists (1304), a department does not (1310).
        """
        await self._call(endpoints.USER_ADD, alias=alias, name=name, password=password, **profile)

    async def user_modify(
        self, alias: str, *, name: str | None = None, password: str | None = None, **profile: Unpack[ProfileFields]
    ) -> None:
        """Change what is given of an account, and nothing else (protocol 3.3.2).

        Raises:
            NotFound: no such account.
            CallerFault: an address exists (1304), a department does not (1310).
        """
        await self._call(endpoints.USER_MODIFY, alias=alias, name=name, password=password, **profile)

    async def user_delete(self, alias: str) -> None:
        """Delete an account with its mails, for ever (protocol 3.3.2); ``user_modify(alias, open_type=2)`` is safe.

        Raises:
            NotFound: no such account.
        """
        await self._call(endpoints.USER_DELETE, alias=alias)

    async def user_list(self, ver: int) -> Delta:
        """Accounts changed after ``ver``, all accounts for 0 (protocol 3.3.3)."""
        answer = await self._call(endpoints.USER_LIST, ver=ver)
        # It may have a line for everybody; whoever listens must not wait for that.
        return await asyncio.to_thread(answers.read_delta, answer)

    async def newcount(self, alias: str) -> int:
        """The number of unread mails of an account (protocol 3.3.4).

        Raises:
            NotFound: no such account.
        """
        return answers.read_newcount(await self._call(endpoints.NEWCOUNT, alias=alias))

    async def user_check(self, emails: Sequence[str]) -> tuple[AddressCheck, ...]:
        """What each address is, or that it is free (protocol 3.3.8); 20 are asked for at a time."""
        asked = series(emails)
        checks: list[AddressCheck] = []
        for at in range(0, max(1, len(asked)), MOST_CHECKED):
            some = asked[at : at + MOST_CHECKED]
            answer = await self._call(endpoints.USER_CHECK, emails=some)
            checks += answers.read_checks(answer, asked=[str(each) for each in some])
        return tuple(checks)

    async def user_openwxtoken(self, alias: str) -> None:
        """Require WeChat's dynamic password of an account (protocol 3.3.14)."""
        await self._call(endpoints.USER_OPENWXTOKEN, alias=alias)

    async def user_closewxtoken(self, alias: str) -> None:
        """No longer require it (protocol 3.3.15)."""
        await self._call(endpoints.USER_CLOSEWXTOKEN, alias=alias)

    async def user_swapalias(self, alias: str, slave: str) -> None:
        """Make a further address the main one and ``alias`` a further one (undocumented, seen in use)."""
        await self._call(endpoints.USER_SWAPALIAS, alias=alias, slave=slave)

    # Departments: paths below the root, up to five levels; what is written shows after a second.

    async def party_add(self, party: str) -> None:
        """Add a department, and those above it that are missing (protocol 3.3.5)."""
        await self._call(endpoints.PARTY_ADD, party=party)

    async def party_move(self, source: str, target: str) -> None:
        """Move or rename a department; members and departments below go with it (protocol 3.3.5).

        Raises:
            CallerFault: no such department (1310).
        """
        await self._call(endpoints.PARTY_MOVE, source=source, target=target)

    async def party_delete(self, party: str) -> None:
        """Delete a department; the provider refuses while it has members (protocol 3.3.5)."""
        await self._call(endpoints.PARTY_DELETE, party=party)

    async def party_list(self, party: str = "") -> tuple[str, ...]:
        """The names of the departments one level below, of the root without ``party`` (protocol 3.3.6)."""
        return answers.read_values(await self._call(endpoints.PARTY_LIST, party=party), endpoints.PARTY_LIST)

    async def partyuser_list(self, party: str = "") -> tuple[str, ...]:
        """The accounts in a department, not those further below (protocol 3.3.7)."""
        return answers.read_values(await self._call(endpoints.PARTYUSER_LIST, party=party), endpoints.PARTYUSER_LIST)

    # Groups: they cannot be read back.

    async def group_add(self, group: str, *, name: str, status: GroupStatus, members: Sequence[str]) -> None:
        """Add a mail group; ``group`` is its own address, a new one (protocol 3.3.9)."""
        await self._call(endpoints.GROUP_ADD, group=group, name=name, status=status, members=members)

    async def group_delete(self, group: str) -> None:
        """Delete a mail group (protocol 3.3.10)."""
        await self._call(endpoints.GROUP_DELETE, group=group)

    async def group_addmember(self, group: str, members: Sequence[str]) -> None:
        """Add members (printed as 3.3.121 in the protocol document)."""
        await self._call(endpoints.GROUP_ADDMEMBER, group=group, members=members)

    async def group_deletemember(self, group: str, members: Sequence[str]) -> None:
        """Take members out (protocol 3.3.11)."""
        await self._call(endpoints.GROUP_DELETEMEMBER, group=group, members=members)

    async def group_addallowlist(self, group: str, senders: Sequence[str]) -> None:
        """Let senders write to a group whose status is ``list``, and to no other (protocol 3.3.12)."""
        await self._call(endpoints.GROUP_ADDALLOWLIST, group=group, senders=senders)

    async def group_delallowlist(self, group: str, senders: Sequence[str]) -> None:
        """No longer let them; somebody has to stay on the list (protocol 3.3.13)."""
        await self._call(endpoints.GROUP_DELALLOWLIST, group=group, senders=senders)
