"""A real Prometheus over our own rules, in a hurry: it scrapes and evaluates four times a second."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.deploy.programs import ROOT, accepts, running
from tests.support.processes import free_port
from tests.support.waiting import until

RULES = ROOT / "deploy" / "prometheus"
PARTS = ("worker", "edge", "signon")


@dataclass(frozen=True)
class Prometheus:
    """One that runs. ``folder`` holds its configuration, ``targets`` the admin ports that it scrapes."""

    url: str
    session: aiohttp.ClientSession
    folder: Path
    targets: dict[str, list[int]]

    def scrape(self, part: str, port: int) -> None:
        """Have one program more looked at."""
        self.targets[part].append(port)
        _write_targets(self.folder, part, self.targets[part])

    async def get(self, path: str, **query: str) -> Any:
        async with self.session.get(f"{self.url}/api/v1/{path}", params=query) as answer:
            told = await answer.json()
        assert told["status"] == "success", told
        return told["data"]

    async def query(self, expression: str) -> list[Any]:
        found: list[Any] = (await self.get("query", query=expression))["result"]
        return found

    async def holds(self, expression: str) -> None:
        """Return when the expression finds something."""

        async def found() -> bool:
            return bool(await self.query(expression))

        try:
            await until(found)
        except TimeoutError:
            raise TimeoutError(f"{expression} finds nothing; firing: {await self.firing()}") from None

    async def firing(self) -> set[str]:
        """The alerts that fire now."""
        return {each["metric"]["alertname"] for each in await self.query('ALERTS{alertstate="firing"}')}

    async def fired(self, *, within_s: float) -> set[str]:
        """The alerts that have fired in the last seconds."""
        over = f'max_over_time(ALERTS{{alertstate="firing"}}[{int(within_s * 1000) + 1}ms])'
        return {each["metric"]["alertname"] for each in await self.query(f"count by (alertname) ({over})")}


@asynccontextmanager
async def scraping(
    program: str, folder: Path, targets: Mapping[str, list[int]], *, rules: str | None = None
) -> AsyncIterator[Prometheus]:
    """A Prometheus with our configuration. ``targets``: the admin ports of ``worker``, ``edge`` and ``signon`` that run
    here; ``rules``: other text than that of our rules."""
    config = (RULES / "prometheus.yml").read_text().replace("_interval: 15s", "_interval: 250ms")
    # Nobody is woken here.
    config, found = re.subn(r"^alerting:\n(?: .*\n)+", "", config, flags=re.MULTILINE)
    assert found == 1
    for part in PARTS:
        config, found = re.subn(
            rf"(job_name: exmail-bridge-{part}\n +)static_configs: .*\n",
            rf'\1file_sd_configs: [{{files: ["{folder}/{part}.json"]}}]\n',
            config,
        )
        assert found == 1
        _write_targets(folder, part, targets.get(part, []))
    (folder / "prometheus.yml").write_text(config)
    (folder / "rules.yml").write_text((RULES / "rules.yml").read_text() if rules is None else rules)
    port = free_port()
    words = (
        program,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    async with running(*words, log=folder / "prometheus.log"), aiohttp.ClientSession() as session:
        await until(lambda: accepts(port))
        told = {part: list(ports) for part, ports in targets.items()}
        yield Prometheus(f"http://127.0.0.1:{port}", session, folder, told)


def _write_targets(folder: Path, part: str, ports: list[int]) -> None:
    # By a rename: half a file would be read.
    written = folder / f"{part}.json.next"
    written.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]))
    written.rename(folder / f"{part}.json")
