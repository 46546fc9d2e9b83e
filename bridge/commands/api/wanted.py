"""What an account shall be, what it is, and the step from one to the other. Pure.

A row says some of an account's fields. What it does not say stays as it is; what is already so is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bridge.events import normalise_address
from bridge.provider.bizmail.endpoints import USER_ADD, USER_DELETE, USER_MODIFY, Endpoint
from bridge.provider.bizmail.form import fill
from bridge.provider.faults import BadParameter
from bridge.provider.members import Action, Profile

Kind = Literal["add", "change", "disable", "delete", "unchanged", "not-found", "exists"]
Texts = tuple[str, ...]

DISABLED: Final = "2"
_SECRET: Final = ("password", "md5")
_KEYS: Final = {parameter.name: parameter.key for parameter in USER_ADD.parameters}
_LISTS: Final = ("parties", "slaves")


@dataclass(frozen=True, slots=True)
class Change:
    """One field that becomes another. A password has neither side: it is sent and never shown."""

    key: str
    before: Texts = ()
    after: Texts = ()

    @property
    def is_secret(self) -> bool:
        """Whether only the name may be shown."""
        return self.key in _SECRET


@dataclass(frozen=True, slots=True)
class Step:
    """What has to be done to an account. ``values`` go with the call; not in the ``repr``, for a password's sake."""

    kind: Kind
    changes: tuple[Change, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def disappears(self) -> bool:
        """Whether somebody loses the mailbox."""
        return self.kind in ("disable", "delete")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One account as a row wants it. ``action`` ``None``: as the row says, added if it is not there.

    ``line`` is ``None`` where no row is, for an account that the file leaves out.
    """

    line: int | None
    alias: str
    action: Action | None
    values: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def address(self) -> str:
        """The address by which accounts are told apart."""
        return normalise_address(self.alias) or self.alias


def wanted_of(line: int, values: Mapping[str, object], action: Action | None) -> Wanted:
    """The account that a row wants, every value checked.

    Raises:
        BadParameter: a value breaks a rule of the document.
    """
    row = {key: value for key, value in values.items() if key != "alias"}
    endpoint = {Action.ADD: USER_ADD, Action.DEL: USER_DELETE}.get(action or Action.MOD, USER_MODIFY)
    if action is Action.DEL:
        row = {}
    if endpoint is USER_ADD and "password" not in row:
        raise BadParameter("Password", "is missing: in the row, or --password-file FILE for all", endpoint.section)
    form = fill(endpoint, {"alias": values.get("alias"), **row})
    return Wanted(line, dict(form)["Alias"], action, row)


def step_to(wanted: Wanted, profile: Profile | None) -> Step:
    """What has to be done; ``profile`` is the account as it is, ``None`` if it is not there.

    ``exists``: it was to be added and is there with other fields, perhaps another person's; nothing is done.
    """
    if wanted.action is Action.DEL:
        return Step("unchanged") if profile is None else Step("delete")
    if profile is None:
        if wanted.action is Action.MOD:
            return Step("not-found")
        changes = tuple(Change(key, (), after) for key, after in _texts(USER_MODIFY, wanted).items() if any(after))
        return Step("add", (*changes, *_secrets(wanted)), wanted.values)
    before = _held(profile)
    after = _texts(USER_MODIFY, wanted)
    changes = tuple(
        Change(key, before[key], texts)
        for key, texts in after.items()
        if _compared(key, before[key]) != _compared(key, texts)
    )
    values = {each.key: wanted.values[each.key] for each in changes}
    if wanted.action is Action.MOD:
        # It cannot be compared. A list of everybody has the first password of each, which must not come back nightly.
        changes += _secrets(wanted)
        values |= {key: wanted.values[key] for key in _SECRET if key in wanted.values}
    if not changes:
        return Step("unchanged")
    if wanted.action is Action.ADD:
        return Step("exists", changes)
    goes = any(each.key == "open_type" and each.after == (DISABLED,) for each in changes)
    return Step("disable" if goes else "change", changes, values)


def lacking(wanted: Wanted) -> str | None:
    """Why an account cannot be added from what its row says; ``None`` if it can."""
    try:
        fill(USER_ADD, {"alias": wanted.alias, **wanted.values})
    except BadParameter as error:
        return f"{wanted.alias} is not there yet, and {error}"
    return None


def is_other(asked: str, profile: Profile) -> bool:
    """Whether an answer is another account's: ``asked`` is a further address of it."""
    return normalise_address(profile.alias) != normalise_address(asked)


def _secrets(wanted: Wanted) -> tuple[Change, ...]:
    return (Change("password"),) if "password" in wanted.values else ()


def _texts(endpoint: Endpoint, wanted: Wanted) -> dict[str, Texts]:
    """What would be sent, by the client's names, without address and password; an emptied field as one empty text."""
    found: dict[str, Texts] = {}
    for name, text in fill(endpoint, {"alias": wanted.alias, **wanted.values}):
        key = _KEYS.get(name, "")
        if key and key not in ("alias", *_SECRET) and not (key == "open_type" and text == "0"):
            found[key] = (*found.get(key, ()), text)
    return found


def _held(profile: Profile) -> dict[str, Texts]:
    fields: Mapping[str, Any] = {"name": profile.name, **profile.fields()}
    return {key: tuple(value) if key in _LISTS else (str(value),) for key, value in fields.items()}


def _compared(key: str, texts: Texts) -> object:
    """What of a field makes a difference: the order of a list does not, nor the case of an address."""
    if key == "slaves":
        return frozenset(normalise_address(each) or each for each in texts if each)
    return frozenset(filter(None, texts)) if key in _LISTS else texts[0].strip()
