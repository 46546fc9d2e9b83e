"""The commands of the simulated provider: everything that can be done to it, by name and with JSON values.

One table serves both the admin calls of a test in another process and the steps of a fault plan. ``fault`` takes
``for_s``, the seconds after which the fault ends by itself: once connections are refused, no call could end it.
Commands on parties and groups take effect at once and obey no rule of the API, like an administrator's web pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridge.simulator.faults.faults import Faults, FaultValue
from bridge.simulator.wire.listen import Listeners
from bridge.simulator.world.account import Account, Action
from bridge.simulator.world.groups import Group, GroupStatus
from bridge.simulator.world.mail import Mail
from bridge.simulator.world.parties import PartyWrite, parse
from bridge.simulator.world.traffic import Traffic
from bridge.simulator.world.world import World

from .dialect import Dialect, Rules, change

Arguments = Mapping[str, Any]


class CommandRefused(Exception):
    """The command is unknown, or its arguments are wrong; the text says which."""


class Commands:
    """The table of commands."""

    __slots__ = ("_dialect", "_faults", "_rules", "_table", "_traffic", "_world")

    def __init__(
        self,
        *,
        world: World,
        faults: Faults,
        listeners: Listeners,
        dialect: Dialect,
        rules: Rules,
        traffic: Traffic,
        cut: Callable[..., int],
    ) -> None:
        self._world = world
        self._faults = faults
        self._dialect = dialect
        self._rules = rules
        self._traffic = traffic
        self._table: dict[str, Callable[..., object]] = {
            "mail": self._mail,
            "burst": self._burst,
            "read": self._read,
            "add-user": self._add_user,
            "modify-user": self._modify_user,
            "delete-user": world.delete_user,
            "swap-alias": world.swap_alias,
            "make-party": lambda path: self._change_party(Action.ADD, path),
            "move-party": lambda src, dst: self._change_party(Action.MOD, dst, src),
            "delete-party": lambda path: self._change_party(Action.DEL, path),
            "settle": lambda: world.roster.settle(everything=True),
            "make-group": self._make_group,
            "delete-group": world.roster.groups.delete,
            "auth-key": self._auth_key,
            "expire-tokens": world.expire_tokens,
            "cut": cut,
            "push": lambda text: listeners.push(text.encode("utf-8", "surrogatepass")),
            "push-errcode": listeners.push_errcode,
            "fault": self._fault,
            "clear": faults.clear,
            "dialect": lambda **values: change(dialect, **values),
            "rules": lambda **values: change(rules, **values),
            "traffic": self._change_traffic,
        }

    @property
    def names(self) -> frozenset[str]:
        """The names of all commands."""
        return frozenset(self._table)

    def do(self, name: str, arguments: Arguments) -> object:
        """Carry out a command; return JSON-like values that say what was done.

        Raises:
            CommandRefused: nothing was done.
        """
        command = self._table.get(name)
        if command is None:
            raise CommandRefused(f"there is no command {name}")
        try:
            return command(**arguments)
        except KeyError as error:
            raise CommandRefused(f"{name}: there is no {error}") from error
        except (TypeError, ValueError) as error:
            raise CommandRefused(f"{name}: {error}") from error

    def _mail(self, mailbox: str | None = None, **fields: str) -> dict[str, object]:
        return _as_answer(self._world.deliver_mail(mailbox, **fields))

    def _burst(self, n: int, mailbox: str | None = None) -> dict[str, object]:
        mails = self._world.deliver_many(n, mailbox)
        return {"mails": len(mails), "pushed": sum(mail.pushed for mail in mails)}

    def _read(self, mailbox: str, n: int | None = None) -> dict[str, object]:
        left = self._world.read(mailbox, self._world.unread[mailbox] if n is None else n)
        return {"mailbox": mailbox, "unread": left}

    def _add_user(self, alias: str | None = None, **fields: Any) -> Account:
        return self._world.add_user(alias, **_as_tuples(fields))

    def _modify_user(self, alias: str, **fields: Any) -> Account:
        return self._world.modify_user(alias, **_as_tuples(fields))

    def _change_party(self, action: Action, dst: str, src: str = "") -> dict[str, object]:
        self._world.roster.change_party(PartyWrite(action, parse(dst), parse(src)))
        return {"parties": self._world.roster.parties.paths}

    def _make_group(
        self,
        address: str,
        name: str = "",
        *,
        status: str = GroupStatus.ALL,
        members: Sequence[str] = (),
        allow_list: Sequence[str] = (),
    ) -> Group:
        group = Group(address, name or address, GroupStatus(status), tuple(members), tuple(allow_list))
        self._world.roster.groups.put(group)
        return group

    def _auth_key(self, user: str, life_s: float | None = None) -> dict[str, object]:
        alias = self._world.accounts[user].alias
        life_s = self._rules.auth_key_life_s if life_s is None else life_s
        return {"user": alias, "auth_key": self._world.auth_keys.issue(alias, life_s=life_s)}

    def _fault(
        self,
        kind: str,
        *,
        on: bool = True,
        endpoint: str | None = None,
        value: FaultValue = None,
        times: int | None = None,
        chance: float = 1.0,
        for_s: float | None = None,
    ) -> dict[str, object]:
        if on:
            fault = self._faults.on(kind, endpoint=endpoint or "*", value=value, times=times, chance=chance)
            if for_s is not None:
                asyncio.get_running_loop().call_later(for_s, self._faults.end, fault)
        else:
            self._faults.off(kind, endpoint=endpoint)
        return {"active": [fault.kind for fault in self._faults.active]}

    def _change_traffic(self, rate_per_s: float | None = None, paused: bool | None = None) -> dict[str, object]:
        if rate_per_s is not None:
            self._traffic.rate_per_s = rate_per_s
        if paused is not None:
            (self._traffic.pause if paused else self._traffic.resume)()
        return {"rate_per_s": self._traffic.rate_per_s, "paused": self._traffic.paused}


def _as_answer(mail: Mail) -> dict[str, object]:
    return {"mailbox": mail.mailbox, "mail_id": mail.mail_id, "unread": mail.unread, "pushed": mail.pushed}


def _as_tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
