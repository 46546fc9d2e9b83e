"""``api … --from FILE``: a call for each row of a file.

All rows are read and checked before the provider hears anything.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from bridge.commands.api.answer import in_words
from bridge.commands.api.columns import ACTION, values_of
from bridge.commands.api.departments import Department, Failed, conflicts, department_of, plan_of
from bridge.commands.api.each import Call, call_of, make
from bridge.commands.api.ending import Ending, alone, ending_of, facts_of, say
from bridge.commands.api.pause import GaveUp, Pause
from bridge.commands.api.report import Report, Result
from bridge.commands.api.secret import password_of, read_password
from bridge.commands.api.sheet import Fault, SheetRefused, decode, read_bytes, records
from bridge.commands.api.wanted import Wanted, wanted_of
from bridge.commands.api.words import asked_for, called, endpoints_by_word, given_values
from bridge.commands.command import settings_of
from bridge.provider.bizmail.endpoints import PARTY_ADD, PARTY_DELETE, USER_ADD, USER_DELETE, USER_GET, Endpoint
from bridge.provider.bizmail.parameters import DST_PATH, MOVED, Parameter
from bridge.provider.faults import BadParameter
from bridge.provider.members import Action
from bridge.settings import Settings, require_for

if TYPE_CHECKING:
    from bridge.provider.bizmail.client import ProviderClient

T = TypeVar("T")
Rows = Sequence[Wanted] | Sequence[Department] | Sequence[Call]

_STDIN: Final = Path("-")


def run_batch(arguments: argparse.Namespace) -> int:
    """Do what the rows of a file say; return the exit code.

    Raises:
        BadParameter, SettingsError, StartRefused, ProviderError: why nothing was done.
    """
    first = endpoints_by_word()[arguments.endpoint][0]
    if arguments.source == _STDIN and getattr(arguments, "password_file", None) == _STDIN:
        return say(Ending.MISUSED, "rows and password cannot both come from standard input", as_json=arguments.json)
    try:
        rows: Rows
        if first is USER_ADD:
            rows = _wanted(arguments)
        else:
            rows = _departments(arguments) if first is PARTY_ADD else _calls(arguments)
        settings = settings_of(arguments)
        require_for(settings, "api")
        return asyncio.run(_act(settings, arguments, rows))
    except SheetRefused as refused:
        return _refused(refused, as_json=arguments.json)
    except GaveUp as gave_up:
        error = gave_up.error
        why = f"nothing was changed: {in_words(error, USER_GET)}"
        return say(ending_of(error, gave_up=True), why, as_json=arguments.json, **facts_of(error))


def _refused(refused: SheetRefused, *, as_json: bool) -> int:
    """Say what is wrong with a file, each fault on a line of its own."""
    more = f" (and {refused.more} more faults)" if refused.more else ""
    if as_json:
        lines = [{"line": each.line, "message": each.why} for each in refused.faults]
        return say(Ending.MISUSED, f"nothing was changed: {refused}{more}", as_json=True, faults=lines)
    for each in refused.faults:
        say(Ending.MISUSED, str(each), as_json=False)
    return say(Ending.MISUSED, f"nothing was changed{more}", as_json=False)


# From the file to rows.


def _wanted(arguments: argparse.Namespace) -> list[Wanted]:
    """The accounts that a file wants; each once.

    Raises:
        SheetRefused: with every row that is wrong.
        BadParameter: an option does not belong to the action, or the password cannot be read.
    """
    options = given_values(arguments)
    if arguments.action is not None:
        endpoint, _ = called(arguments)
        if endpoint is USER_DELETE:
            password_of(endpoint, arguments)
    if arguments.password_file is not None or arguments.ask_password:
        options["password"] = read_password(arguments.password_file, USER_ADD)
    if arguments.action is not None:
        options[ACTION] = arguments.action.name

    def row(line: int, values: Mapping[str, object]) -> Wanted:
        fields = {key: value for key, value in values.items() if key != ACTION}
        return wanted_of(line, fields, _action(values, USER_DELETE))

    found = _rows(arguments, USER_ADD.parameters, options, row, action=True)
    first: dict[str, int | None] = {}
    twice = [
        Fault(each.line, f"{each.alias} stands in line {first[each.address]} too")
        for each in found
        if first.setdefault(each.address, each.line) != each.line
    ]
    if twice:
        raise SheetRefused(twice)
    return found


def _action(values: Mapping[str, object], endpoint: Endpoint) -> Action | None:
    """The action that a row or an option says; ``None`` if neither does."""
    action = values.get(ACTION)
    if action is not None and action not in Action.__members__:
        raise BadParameter("Action", "must be ADD, MOD or DEL", endpoint.section)
    return None if action is None else Action[str(action)]


def _departments(arguments: argparse.Namespace) -> list[Department]:
    """The departments that a file wants; none contradicts another.

    Raises:
        SheetRefused: with every row that is wrong.
    """
    options = given_values(arguments)
    if arguments.action is not None:
        options[ACTION] = arguments.action.name

    def row(line: int, values: Mapping[str, object]) -> Department:
        return department_of(line, values, _action(values, PARTY_DELETE))

    found = _rows(arguments, (DST_PATH, MOVED[0]), options, row, action=True)
    if faults := conflicts(found):
        raise SheetRefused(faults)
    return found


def _calls(arguments: argparse.Namespace) -> list[Call]:
    """The calls that a file asks for.

    Raises:
        SheetRefused: with every row that is wrong.
    """
    endpoint = asked_for(arguments)
    row = partial(_call, endpoint)
    return _rows(arguments, endpoint.parameters, given_values(arguments), row, action=False)


def _call(endpoint: Endpoint, line: int, values: Mapping[str, object]) -> Call:
    return call_of(line, endpoint, values)


def _rows(
    arguments: argparse.Namespace,
    parameters: Sequence[Parameter],
    options: Mapping[str, object],
    row: Callable[[int, Mapping[str, object]], T],
    *,
    action: bool,
) -> list[T]:
    found = records(decode(read_bytes(arguments.source)))
    faults: list[Fault] = []
    rows: list[T] = []
    for record, values in zip(found, values_of(found, parameters, action=action), strict=True):
        if both := (values.keys() & options.keys()) - {"password"}:
            faults.append(Fault(record.line, f"says {min(both)}, and an option does too"))
            continue
        try:
            # A row's own password comes before the one that all others get.
            rows.append(row(record.line, {**options, **values}))
        except BadParameter as error:
            faults.append(Fault(record.line, str(error)))
    if faults:
        raise SheetRefused(faults)
    return rows


# From rows to results.


async def _act(settings: Settings, arguments: argparse.Namespace, rows: Rows) -> int:
    from bridge.app.provider import visiting_client

    report = Report(as_json=arguments.json, dry_run=arguments.dry_run)
    async with visiting_client(settings, alone=partial(alone, as_json=arguments.json)) as client:
        # Any provider lists the departments below the root.
        pause = Pause(rate=arguments.rate, wait_s=arguments.wait, probe=client.party_list)
        try:
            accounts = [row for row in rows if isinstance(row, Wanted)]
            if accounts:
                return await _sync(settings, arguments, accounts, client, pause, report)
            departments = [row for row in rows if isinstance(row, Department)]
            if departments:
                return await _sync_departments(settings, arguments, departments, client, pause, report)
            await _each(arguments, [row for row in rows if isinstance(row, Call)], client, pause, report)
            return report.code
        finally:
            report.end()


async def _each(
    arguments: argparse.Namespace, calls: Sequence[Call], client: ProviderClient, pause: Pause, report: Report
) -> None:
    endpoint = asked_for(arguments)
    with report.stage("calling", len(calls)) as stage:
        for call in calls:
            if arguments.dry_run and endpoint.writes:
                result = Result(call.line, call.of, "send")
            else:
                result = await make(client, pause, endpoint, call)
            report.add(result)
            stage.step()
            if result.stops:
                return


async def _sync(
    settings: Settings,
    arguments: argparse.Namespace,
    rows: Sequence[Wanted],
    client: ProviderClient,
    pause: Pause,
    report: Report,
) -> int:
    from bridge.app.guard import guard_of
    from bridge.commands.api.accounts import Accounts, leaving_of
    from bridge.commands.api.attempt import foreseen
    from bridge.commands.api.parties import Parties

    accounts = Accounts(client, pause, report)
    leaving = None
    listing = None
    if arguments.leavers:
        listing = await accounts.listed()
        if not listing.whole:
            return say(
                Ending.AWAY,
                f"nothing was changed, who has left cannot be told: {listing.short}",
                as_json=arguments.json,
            )
        leaving = leaving_of(listing, rows, arguments.keep, arguments.leavers)
    plan = await accounts.plan(rows, leaving)
    parties = Parties(client, pause)
    missing = await parties.missing(plan.parties)
    if missing and not arguments.add_parties:
        plan = plan.without(missing)
    needs = ""
    if plan.disappearing:
        # A listing that came short makes the share larger, and the guard stricter.
        listing = listing or await accounts.listed()
        there = len({change.alias for change in listing.changes if change.action is not Action.DEL})
        needs = needed(
            plan.disappearing,
            deletes=plan.deletes,
            too_many=guard_of(settings).refuses(plan.disappearing, there),
            there=there,
            yes=arguments.yes,
        )
    for result in plan.failed:
        report.add(result)
    if needs and not arguments.dry_run:
        return say(Ending.MISUSED, needs, as_json=arguments.json, disappearing=plan.disappearing)
    with report.stage("writing", len(plan.steps)) as stage:
        for path in missing if arguments.add_parties else ():
            result = Result(None, path, "add") if arguments.dry_run else await parties.add(path)
            report.add(result)
            if result.stops:
                return report.code
        for wanted, step in plan.steps:
            result = foreseen(wanted, step) if arguments.dry_run else await accounts.carry_out(wanted, step)
            report.add(result)
            stage.step()
            if result.stops:
                break
    if needs:
        return say(Ending.MISUSED, needs, as_json=arguments.json, disappearing=plan.disappearing)
    return report.code


async def _sync_departments(
    settings: Settings,
    arguments: argparse.Namespace,
    rows: Sequence[Department],
    client: ProviderClient,
    pause: Pause,
    report: Report,
) -> int:
    from bridge.app.guard import guard_of
    from bridge.commands.api.parties import Parties

    parties = Parties(client, pause)
    there = await parties.everything()
    plan = plan_of(rows, there)
    needs = ""
    if plan.disappearing:
        needs = needed(
            plan.disappearing,
            deletes=True,
            too_many=guard_of(settings).refuses(plan.disappearing, len(there)),
            there=len(there),
            yes=arguments.yes,
            loss="departments would be deleted",
            warning=PARTY_DELETE.warning,
        )
    if needs and not arguments.dry_run:
        return say(Ending.MISUSED, needs, as_json=arguments.json, disappearing=plan.disappearing)
    failed = Failed()
    with report.stage("writing", len(plan.steps)) as stage:
        for row, step in plan.steps:
            if isinstance(step, Result):
                result = step
            elif why := failed.needed_by(row):
                result = row.refused(why)
            else:
                result = row.done(step) if arguments.dry_run else await parties.carry_out(row, step)
            report.add(result)
            stage.step()
            if result.stops:
                return report.code
            if result.ending is not None:
                failed.add(row)
    if needs:
        return say(Ending.MISUSED, needs, as_json=arguments.json, disappearing=plan.disappearing)
    return report.code


def needed(
    disappearing: int,
    *,
    deletes: bool,
    too_many: bool,
    there: int,
    yes: bool | int,
    loss: str = "accounts would be switched off or deleted",
    warning: str = USER_DELETE.warning,
) -> str:
    """What has to be said before so many people lose their mailbox, or so many departments go; ``""``: nothing more.

    ``yes`` is what was said, ``loss`` what would happen to them, ``warning`` what cannot be undone.
    """
    many = f"{disappearing} of {there} {loss}"
    if yes is not True and yes is not False and yes != disappearing:
        return f"nothing was changed: {many}, and --yes says {yes}"
    if too_many and (yes is True or yes is False):
        return (
            f"nothing was changed: {many}, more than BRIDGE_DIRECTORY_DELETE_COUNT and BRIDGE_DIRECTORY_DELETE_SHARE "
            f"allow; if that is right: --yes {disappearing}"
        )
    if deletes and yes is False:
        return f"nothing was changed, it needs --yes: {warning}"
    return ""
