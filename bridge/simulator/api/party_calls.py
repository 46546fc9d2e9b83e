"""``party/sync``, ``party/list`` and ``partyuser/list`` (protocol 3.3.5–3.3.7).

Which errcode a party that exists already, or one with members, is refused with is not known: 1001 here.
"""

from __future__ import annotations

from bridge.simulator.api.question import INVALID_REQUEST, PARTY_NOT_FOUND, Question, Refusal, listing
from bridge.simulator.world.account import Action
from bridge.simulator.world.parties import BadPath, NoSuchParty, PartyExists, PartyInUse, PartyWrite, Path, parse


def party_sync(question: Question) -> None:
    """``openapi/party/sync`` (protocol 3.3.5): accepted or refused now, visible after ``Rules.party_delay_s``."""
    action = question.require_action()
    dst = _path(question.require("dstpath"))
    src = _path(question.require("srcpath")) if action is Action.MOD else ()
    try:
        question.world.roster.change_party(PartyWrite(action, dst, src), delay_s=question.rules.party_delay_s)
    except NoSuchParty as error:
        raise Refusal(PARTY_NOT_FOUND) from error
    except (BadPath, PartyExists, PartyInUse) as error:
        raise Refusal(INVALID_REQUEST) from error


def party_list(question: Question) -> dict[str, object]:
    """``openapi/party/list`` (protocol 3.3.6): the names one level below; no path, or an empty one, is the root."""
    path = _path(question.request.param("partypath") or "")
    try:
        return listing({"Value": name} for name in question.world.roster.parties.children(path))
    except NoSuchParty as error:
        raise Refusal(PARTY_NOT_FOUND) from error


def party_users(question: Question) -> dict[str, object]:
    """``openapi/partyuser/list`` (protocol 3.3.7): the aliases in the party itself."""
    path = _path(question.request.param("partypath") or "")
    try:
        return listing({"Value": alias} for alias in question.world.roster.members_of(path))
    except NoSuchParty as error:
        raise Refusal(PARTY_NOT_FOUND) from error


def _path(text: str) -> Path:
    try:
        return parse(text)
    except BadPath as error:
        raise Refusal(INVALID_REQUEST) from error
