"""What a user of Redis may do, tried without doing it (``ACL DRYRUN``), by somebody who looks after the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis.asyncio import Redis

from bridge.journal.errors import NotAdmitted, NotLetIn, translated

_AT_ONCE: Final = 200


async def users_of(redis: Redis) -> set[str]:
    """The users that the server knows.

    Raises:
        JournalAway, JournalRefused
    """
    with translated():
        names = await _bare(redis).execute_command("ACL USERS")
    return {name.decode() if isinstance(name, bytes) else name for name in names}


async def denied(redis: Redis, user: str, commands: Sequence[Sequence[str]]) -> list[bool]:
    """Whether the server would refuse each of the commands, its keys or its channels, to ``user``. Nothing is done.

    Raises:
        JournalAway, JournalRefused
    """
    answers: list[bool] = []
    for start in range(0, len(commands), _AT_ONCE):
        pipeline = _bare(redis).pipeline(transaction=False)
        for command in commands[start : start + _AT_ONCE]:
            pipeline.execute_command("ACL DRYRUN", user, *command)
        with translated():
            answers += [answer not in (b"OK", "OK") for answer in await pipeline.execute()]
    return answers


async def lets_in(redis: Redis) -> bool:
    """Whether the server admits whom this client says that it is; whatever he may do there.

    Raises:
        JournalAway, JournalRefused
    """
    try:
        with translated():
            await _bare(redis).execute_command("PING")
    except NotAdmitted:
        return False
    except NotLetIn:
        return True
    return True


def _bare(redis: Redis) -> Any:
    """The client without types: these commands are sent by nobody else."""
    return redis
