"""What is known about a browser that is open and should not be, or the other way round, to help find the reason.

Times are seconds since the browser's holder got the address.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tests.support.history.knowledge import account_of, is_sure, was_seen
from tests.support.history.staff import Tenure

if TYPE_CHECKING:
    from bridge.simulator.world.mail import Mail
    from tests.support.history.harness import Harness, Sight

_VISITS = 5
_AROUND_S = 6.0
_CHANGES = 30
_OF_EVERY_LINE = ("time", "level", "role", "pid", "logger", "message")


def evidence(harness: Harness, tenure: Tenure, slaves: Mapping[str, str], moved: Mapping[str, int]) -> str:
    """What the browser did, what is stored of its address now and was stored before, and who had the address when.

    ``slaves``: address → account, as stored; ``moved``: address → when it came to mean another person, epoch ms.
    """
    account = account_of(harness, tenure.person).address
    meant = slaves.get(tenure.address, tenure.address)
    concerned = dict.fromkeys([tenure.address, account, meant])

    def at(wall_s: float | None) -> str:
        return "-" if wall_s is None else f"{wall_s - tenure.since:.3f}"

    def when(address: str) -> str:
        return f"{address} {at(moved[address] / 1000)}" if address in moved else f"{address} never"

    visits = [
        f"token of {at(visit.signed)}, let in at {at(visit.opened)}, {'open' if visit.is_open else 'ended'} "
        f"{visit.code}, showed {sorted({str(event['data'].get('mailbox')) for event in visit.events})}"
        for visit in tenure.visits[-_VISITS:]
    ]
    tenures = [
        f"{each.address} of {each.person} from {at(each.since)} (Ver {each.from_ver}) to {at(each.until)} "
        f"(Ver {each.until_ver}), seen: {was_seen(harness, each)}, sure: {is_sure(harness, each)}"
        for each in harness.staff.tenures
        if each.address in concerned
    ]
    asked = [
        f"{call.at_s - tenure.began:.3f} after Ver {call.params.get('ver', ['?'])[0]}"
        for call in harness.provider.calls.of("user/list")
    ]
    parts = {
        f"{len(tenure.visits)} visits, the last": visits,
        "stored now": [f"it means {meant}", *(f"moved {when(address)}" for address in concerned)],
        "tenures": tenures,
        "stored then": _sights(harness, tenure),
        "user/list asked": asked,
    }
    return "\n".join(["", *(f"  {name}: " + "\n    ".join(lines) for name, lines in parts.items())])


def before_and_after(harness: Harness, mail: Mail, events: Sequence[Mapping[str, Any]]) -> str:
    """What workers logged and what was announced around a mail that was lost, and to whom it was pushed.

    Times are seconds after it came.
    """
    told = [
        f"{at:+.3f} {event['type']} {event['data']}"
        for event in events
        if event["type"].startswith(("exmail.upstream.", "exmail.leader."))
        and abs(at := _epoch_s(event["time"]) - mail.time_s) < _AROUND_S
    ]
    logged = [
        f"{at:+.3f} {name} {line['message']} { ({key: line[key] for key in line if key not in _OF_EVERY_LINE}) }"
        for name, life in harness.lives
        if name.startswith("worker")
        for line in life.lines
        if "time" in line and abs(at := _epoch_s(line["time"]) - mail.time_s) < _AROUND_S
    ]
    parts = {
        f"pushed to {sorted(mail.pushed_to)}, rivals {sorted(harness.rivals)}": harness.done,
        "announced": told,
        "logged by workers": logged,
    }
    return "\n".join(["", *(f"  {name}: " + "\n    ".join(lines) for name, lines in parts.items())])


def around_a_sight(harness: Harness, sight: Sight, alias: str) -> str:
    """What was stored of a person, and what the provider was asked and answered about him, around a moment.

    Times are seconds after that.
    """
    near = [each for each in harness.sights if abs(each.at - sight.at) < _AROUND_S]
    stored = [
        f"{next(group).at - sight.at:+.3f} Ver {ver}, name {name}{', owed' if is_owed else ''}"
        for (ver, name, is_owed), group in groupby(
            near, key=lambda each: (each.ver, each.names.get(alias), alias in each.owed)
        )
    ]
    asked = [
        f"{call.at_s - sight.at:+.3f} {call.endpoint} {call.params.get('ver', alias)} {call.outcome}"
        for endpoint in ("user/list", "user/get")
        for call in harness.provider.calls.of(endpoint)
        if abs(call.at_s - sight.at) < _AROUND_S and call.params.get("alias", [alias]) == [alias]
    ]
    changed = [f"{entry.ver} {entry.action.name}" for entry in harness.world.directory if entry.alias == alias][
        -_CHANGES:
    ]
    parts = {"stored": stored, "asked": asked, "changes of the person": changed, "renamed": [str(harness.renamed)]}
    return "\n".join(["", *(f"  {name}: " + "\n    ".join(lines) for name, lines in parts.items())])


def _epoch_s(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _sights(harness: Harness, tenure: Tenure) -> list[str]:
    """The cursor, and what the address meant, each time that one of them changed."""
    account = account_of(harness, tenure.person).address
    states = [
        (sight.ver, sight.slaves.get(tenure.address, "nobody"), account in sight.owed, sight.at - tenure.began)
        for sight in harness.sights
    ]
    return [
        f"{next(group)[3]:.3f}: Ver {ver}, alias of {meant}{', account owed' if is_owed else ''}"
        for (ver, meant, is_owed), group in groupby(states, key=lambda state: state[:3])
    ]
