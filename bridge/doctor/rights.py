"""The users of Redis: whether each is there, is let in with the password that is kept for it, and may what it must."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bridge.app.parts import redis_address
from bridge.doctor.access_list import Trial, shipped, trials
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import NotJudged, found
from bridge.doctor.means import Means
from bridge.journal.errors import JournalError
from bridge.journal.rights import denied, lets_in, users_of

_ADMIN: Final = "admin"
_MOST: Final = 10
"""Rights that are named for each user; who lacks more has another file."""


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    folder = means.passwords
    if folder is None:
        raise NotJudged("no-passwords", by_choice=True)
    settings = means.operator or means.of("worker", "edge", "signon")
    address = redis_address(settings)

    def client(user: str | None) -> Any:
        return replace(address, username=user, password=_password(folder, user)).client(timeout_s=5.0, connections=2)

    try:
        wanted = trials(shipped(), settings.namespace)
        kept = {path.name for path in folder.iterdir() if path.is_file()}
    except OSError as error:
        raise NotJudged("passwords-closed", error=error) from None
    if _ADMIN not in kept:
        raise NotJudged("passwords-closed", error=f"no file {_ADMIN} in {folder}")
    nobody, admin = client(None), client(_ADMIN)
    try:
        if await lets_in(nobody):
            yield found("default-open")
        there = await users_of(admin)
        for user in sorted(kept & {trial.user for trial in wanted}):
            if user not in there:
                yield found("user-missing", user=user)
                continue
            if not await _admitted(client, user):
                yield found("user-password", user=user)
            own = [trial for trial in wanted if trial.user == user]
            refused = await denied(admin, user, [trial.command for trial in own])
            lacking = [trial for trial, no in zip(own, refused, strict=True) if no]
            for trial in _distinct(lacking)[:_MOST]:
                yield found("user-right", user=user, right=trial.token, line=trial.line)
    except JournalError as error:
        raise NotJudged("needs-redis", error=error) from error
    finally:
        await nobody.aclose()
        await admin.aclose()


def _distinct(lacking: list[Trial]) -> list[Trial]:
    """One for each token: those of keys and channels first, because they explain the commands."""
    found_by = {(trial.token, trial.line): trial for trial in lacking}
    return sorted(found_by.values(), key=lambda trial: (trial.token.startswith("+"), trial.line))


async def _admitted(client: Callable[[str], Any], user: str) -> bool:
    redis = client(user)
    try:
        return await lets_in(redis)
    finally:
        await redis.aclose()


def _password(folder: Path, user: str | None) -> Callable[[], str | None]:
    """The password that is kept for a user, read as ``make-users`` reads it."""
    return lambda: None if user is None else (folder / user).read_text("utf-8-sig").rstrip("\r\n")


CHECK: Final = Check("rights", _ask, within_s=20.0)
