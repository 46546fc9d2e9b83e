"""Reading calls about accounts: ``user/list``, ``user/get``, ``user/check``, ``mail/newcount`` (protocol 3.3)."""

from __future__ import annotations

from bridge.simulator.api.question import INVALID_REQUEST, NO_SUCH_MAILBOX, USER_NOT_FOUND, Question, Refusal, listing
from bridge.simulator.dialect import Dialect
from bridge.simulator.faults.faults import Kind
from bridge.simulator.wire.documents import count
from bridge.simulator.world.account import Account, Action

MOST_CHECKED = 20


def user_list(question: Question) -> dict[str, object]:
    """``openapi/user/list`` (protocol 3.3.3): accounts for Ver=0, else what changed after it."""
    ver, world = question.require_ver(), question.world
    newest = world.ver
    if ver == 0:
        lines: list[dict[str, object]] = [{"Action": int(Action.ADD), "Alias": alias} for alias in world.accounts]
    else:
        lines = [{"Action": int(entry.action), "Alias": entry.alias} for entry in world.directory_since(ver)]
    if question.faults.strike(Kind.LIST_EMPTY, "user/list"):
        newest, lines = ver, []
    answer: dict[str, object] = {"Ver": count(newest, as_text=question.dialect.answer_ver_as_text)}
    if fault := question.faults.strike(Kind.LIST_VER, "user/list"):
        answer = {} if fault.value is None else {"Ver": fault.value}
    elif fault := question.faults.strike(Kind.LIST_VER_MOVES, "user/list"):
        made_up = newest + int(fault.number) * fault.struck
        question.faults.made_up.add(made_up)
        answer = {"Ver": made_up}
    answer |= listing(lines)
    if fault := question.faults.strike(Kind.LIST_SHORT, "user/list"):
        answer["List"] = lines[: max(0, len(lines) - int(fault.number))]
    return answer


def user_get(question: Question) -> dict[str, object]:
    """``openapi/user/get`` (protocol 3.3.1), with the Status that the document does not know."""
    account = question.require_account()
    if question.world.age_s(account.alias) < _late_s(question):
        raise Refusal(USER_NOT_FOUND)
    return {
        "Alias": account.alias,
        "Name": account.name,
        "Gender": account.gender,
        "SlaveList": ",".join(account.slaves),
        "Position": account.position,
        "Tel": account.tel,
        "Mobile": account.mobile,
        "ExtId": account.ext_id,
        "PartyList": _party_list(account, question.dialect),
        "OpenType": account.open_type,
        "Status": account.status,
    }


def _late_s(question: Question) -> float:
    fault = question.faults.strike(Kind.GET_LATE, "user/get")
    return 0.0 if fault is None else fault.number


def user_check(question: Question) -> dict[str, object]:
    """``openapi/user/check`` (protocol 3.3.8): what each address is, in the order of asking."""
    emails = question.require_values("email")
    if len(emails) > MOST_CHECKED:
        raise Refusal(INVALID_REQUEST)
    kind_of = question.world.roster.kind_of
    return listing({"Email": email, "Type": int(kind_of(email))} for email in emails)


def newcount(question: Question) -> dict[str, object]:
    """``openapi/mail/newcount`` (protocol 3.3.4); an unknown account is 1400 here, not 1301."""
    account = question.world.account(question.require("alias"))
    if account is None:
        raise Refusal(NO_SUCH_MAILBOX)
    unread = count(question.world.unread[account.alias], as_text=question.dialect.answer_count_as_text)
    return {"Alias": account.alias, "NewCount": unread}


def _party_list(account: Account, dialect: Dialect) -> object:
    if dialect.party_list_as_text:
        return ",".join(account.parties)
    return listing({"Value": party} for party in account.parties)
