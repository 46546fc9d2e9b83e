"""A real nginx with the files that come with the bridge; only ports and folders are changed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.deploy.programs import ROOT, accepts, running
from tests.support.processes import has_ipv6
from tests.support.waiting import until

FILES = ROOT / "deploy" / "proxy"


def main_file(folder: Path, *, shutdown_s: int = 60, more: str = "") -> str:
    """What concerns nginx as a whole, with all that it writes in the folder; ``more``: what else all servers are told.

    Raises:
        AssertionError: the file no longer holds what is changed here.
    """
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    main = (FILES / "nginx-main.conf").read_text()
    for old, new in (
        ("user www-data;", "user root; daemon off;"),
        ("worker_shutdown_timeout 60s;", f"worker_shutdown_timeout {shutdown_s}s;"),
        ("/run/nginx.pid", f"{folder}/pid"),
        ("include /etc/nginx/modules-enabled/*.conf;", ""),
        ("include /etc/nginx/mime.types;", f"types {{ text/html html; }} access_log off; {folders} {more}"),
        ("/etc/nginx/conf.d/", f"{folder}/conf.d/"),
    ):
        assert old in main
        main = main.replace(old, new)
    return main


@asynccontextmanager
async def running_nginx(
    program: str,
    folder: Path,
    *,
    port: int,
    edges: Sequence[str],
    signon: int = 1,
    pages: Path | None = None,
    shutdown_s: int = 60,
    tls: str = "",
    changed: Mapping[str, str] | None = None,
) -> AsyncIterator[Path]:
    """Serve ``port`` before the edges, and what ends in ``.html`` from the folder ``pages``; yield the access log.

    ``edges``: their addresses. ``shutdown_s``: how long old workers live after a reload. ``tls``: what the server says
    behind ``listen … ssl``.
    ``changed``: what of the site is replaced by what, each time that it stands there.

    Raises:
        AssertionError: the files no longer hold what is changed here.
    """
    site = (FILES / "nginx.conf").read_text()
    edge = re.search(r"server 127\.0\.0\.1:8080( [^;]*)?;", site)
    assert edge is not None
    options = edge[1] or ""
    servers = "".join(f"server {each}{options};" for each in edges)
    served = "" if pages is None else f" location ~ [.]html$ {{ root {pages}; }}"
    for old, new in (
        (edge[0], servers),
        ("127.0.0.1:8081", f"127.0.0.1:{signon}"),
        ("listen 80;", f"listen 127.0.0.1:{port}{' ssl' if tls else ''};{tls}{served}"),
        ("listen [::]:80;", f"listen [::1]:{port}{' ssl' if tls else ''};" if has_ipv6() else ""),
        ("/var/log/nginx/", f"{folder}/"),
        *(changed or {}).items(),
    ):
        assert old in site
        site = site.replace(old, new)
    (folder / "conf.d").mkdir()
    (folder / "conf.d" / "exmail-bridge.conf").write_text(site)
    main = main_file(folder, shutdown_s=shutdown_s)
    (folder / "nginx.conf").write_text(main)
    words = (program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf"))
    async with running(*words, log=folder / "nginx.log"):
        await until(lambda: accepts(port))
        yield folder / "exmail-bridge.log"
