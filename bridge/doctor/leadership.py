"""Who leads, who stands by, and whether the leader and the edges answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Final

from bridge import __version__
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import found
from bridge.doctor.means import Means
from bridge.journal.inquiry import Inquiries
from bridge.journal.orders import NotAnswered, Orders
from bridge.journal.overview import overview

_PATIENCE_S: Final = 3.0


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    async with means.redis() as (redis, keys):
        seen = await overview(redis, keys)
        orders = Orders(redis, keys)
        # Where Redis takes no writes nobody can lead or answer, and nothing follows from that about them.
        await orders.check()
        versions = {__version__}
        if seen.fence is None:
            yield found("no-leader")
        else:
            try:
                leader = await orders.ask("describe", within_s=_PATIENCE_S)
                versions.add(str(leader.get("version", "?")))
                waits_s = float(leader.get("backlog_age_s", 0))
                if waits_s > _PATIENCE_S:
                    yield found("backlog", pushes=leader.get("backlog"), seconds=round(waits_s))
            except NotAnswered as error:
                yield found("leader-silent", error=error)
            if seen.upstream.state != "connected":
                yield found("upstream", state=seen.upstream.state, error=seen.upstream.why or "-")
            if not seen.standbys:
                yield found("no-standby")
        answers, heard = await Inquiries(redis, keys).edges(within_s=_PATIENCE_S)
        versions |= {str(answer.get("version", "?")) for answer in answers if "edge" in answer}
        if not heard:
            yield found("no-edge")
        elif len(answers) < heard:
            yield found("edge-silent", answered=len(answers), asked=heard)
        if len(versions) > 1:
            yield found("versions-differ", versions=", ".join(sorted(versions)))


CHECK: Final = Check("leadership", _ask)
