"""``adopt``: give the namespace to the corporation that is configured."""

from __future__ import annotations

import argparse
import asyncio
import sys

from bridge.commands.command import FAILED, OK, Command, add_settings_options, settings_of
from bridge.settings import Settings, require_for


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings_options(parser, dev=True)


def _run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    require_for(settings, "worker")
    return asyncio.run(_adopt(settings))


async def _adopt(settings: Settings) -> int:
    from bridge.app.parts import redis_address
    from bridge.app.provider import corporation_of
    from bridge.journal.corporation import Corporation, StillLed
    from bridge.journal.errors import JournalError
    from bridge.journal.keys import Keys

    redis = redis_address(settings).client()
    try:
        was_anothers = await Corporation(redis, Keys(settings.namespace)).adopt(corporation_of(settings))
    except StillLed:
        sys.stderr.write("exmail-bridge: a worker leads this namespace; stop every worker first\n")
        return FAILED
    except JournalError as error:
        sys.stderr.write(f"exmail-bridge: {error}\n")
        return FAILED
    finally:
        await redis.aclose()
    changed = "is this corporation's now: positions and the directory stay, the old token is gone"
    sys.stdout.write(f"{settings.namespace} {changed if was_anothers else 'was this corporation’s already'}\n")
    return OK


COMMAND = Command(
    name="adopt",
    summary="give the namespace to the corporation that is configured: a new client id, or another API",
    examples=("adopt", "adopt --config /etc/exmail-bridge/bridge.toml"),
    add_arguments=_add_arguments,
    run=_run,
)
