"""The rest of the bridge around what is measured: a provider that pushes on demand, a worker, and what Redis says."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from bridge.journal.embedded import EmbeddedServer
from tests.bench.product import HERE, CannotMeasure, Product
from tests.bench.stage import REST, Process, free_port, program, wait_for


@contextmanager
def provider(*, users: int) -> Iterator[tuple[str, str]]:
    port = free_port()
    words = ("simulate", "--listen", f"127.0.0.1:{port}", "--users", str(users), "--rate", "0")
    with program(*words, "--client-secret", "bench", cores=REST) as process:
        wait_for(port, process.is_alive)
        yield f"http://127.0.0.1:{port}", "bench"


def leading_worker(
    redis_url: str, url: str, secret: str, *, cores: set[int], product: Product = HERE
) -> AbstractContextManager[Process]:
    return program(
        "worker",
        cores=cores,
        product=product,
        BRIDGE_REDIS_URL=redis_url,
        BRIDGE_PROVIDER_API_URL=url,
        BRIDGE_PROVIDER_AUTH_URL=url,
        BRIDGE_PROVIDER_CLIENT_ID="simulated",
        BRIDGE_PROVIDER_CLIENT_SECRET=secret,
        BRIDGE_WORKER_ADMIN_LISTEN="127.0.0.1:0",
    )


def post(url: str, command: str, arguments: dict[str, Any]) -> None:
    request = urllib.request.Request(f"{url}/simulator/{command}", json.dumps(arguments).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


def redis_cpu(client: Any) -> float:
    info = client.info("cpu")
    return float(info["used_cpu_user"] + info["used_cpu_sys"])


def until(condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise CannotMeasure("gave up waiting for what is measured")
        time.sleep(0.02)


def port_of(server: EmbeddedServer) -> int:
    return int(server.tcp_url.partition("://")[2].split(":")[1].split("/")[0])
