"""The settings of the worker, the provider and the way out."""

from __future__ import annotations

import asyncio
import ssl

import orjson

from bridge.app.egress import open_session
from bridge.app.provider import build_client
from bridge.app.worker import _options
from bridge.obs.metrics import Metrics
from bridge.provider import MailArrived, Profile
from bridge.provider.bizmail.asking import Asking
from bridge.provider.pace import Pace
from bridge.settings.table import PROFILE_FIELDS
from bridge.worker.backlog import Backlog
from bridge.worker.fold import stored_profile
from bridge.worker.rival import Rival
from bridge.worker.translate import Translator
from tests.settings.each.bench import Bench, Row
from tests.settings.each.journal_rows import a_count
from tests.support.certificates import make_authority
from tests.support.connect_proxy import connect_proxy
from tests.support.stage import BOB, KEYS
from tests.support.waiting import PATIENCE_S

SHOWN = {"count": set(), "sender": {"sender", "receiver"}}
SHOWN["subject"] = SHOWN["sender"] | {"mail_subject"}
SHOWN["full"] = SHOWN["subject"] | {"summary"}


async def privacy(bench: Bench, value: str) -> None:
    push = MailArrived(BOB, "Z1", "a@x.cn", BOB, "subject", "summary", 1)
    call = Translator("exmail", _options(bench.settings(BRIDGE_PRIVACY=value)).privacy, {}).mail(push, time_s=1.0)
    writer = await bench.writer(bench.settings())
    await writer.commit([call])
    [(_, fields)] = await bench.redis.xrange(KEYS.events)
    data = orjson.loads(fields[b"event"])["data"]
    assert set(data) == SHOWN[value] | {"mailbox", "mail_id", "unread", "as_of"}


async def called(bench: Bench, **environ: str) -> None:
    """Ask for a count, as any program would, by whatever way and as whoever the settings say."""
    account = {"BRIDGE_PROVIDER_CLIENT_ID": "id", "BRIDGE_PROVIDER_CLIENT_SECRET": "key"}
    settings = bench.settings(**account | environ)
    async with open_session(settings) as session:
        assert await build_client(settings, session).newcount(BOB) == 7


async def api_url(bench: Bench, value: str) -> None:
    api, auth = await bench.recorder(), await bench.recorder()
    await called(bench, BRIDGE_PROVIDER_API_URL=api.url + value, BRIDGE_PROVIDER_AUTH_URL=auth.url)
    assert [path.removeprefix(value.rstrip("/")) for path in api.paths] == ["/openapi/mail/newcount"]
    assert [path.rpartition("/")[2] for path in auth.paths] == ["token"]


async def auth_url(bench: Bench, value: str) -> None:
    api, auth = await bench.recorder(), await bench.recorder()
    await called(bench, BRIDGE_PROVIDER_API_URL=api.url, BRIDGE_PROVIDER_AUTH_URL=auth.url + value)
    assert [path.removeprefix(value.rstrip("/")) for path in auth.paths] == ["/cgi-bin/token"]
    assert [path.rpartition("/")[2] for path in api.paths] == ["newcount"]


async def as_whom(bench: Bench, **environ: str) -> dict[str, str]:
    provider = await bench.recorder()
    await called(bench, BRIDGE_PROVIDER_API_URL=provider.url, BRIDGE_PROVIDER_AUTH_URL=provider.url, **environ)
    return provider.forms[0]


async def client_id(bench: Bench, value: str) -> None:
    assert (await as_whom(bench, BRIDGE_PROVIDER_CLIENT_ID=value))["client_id"] == value


async def client_secret(bench: Bench, value: str) -> None:
    assert (await as_whom(bench, BRIDGE_PROVIDER_CLIENT_SECRET=value))["client_secret"] == value


async def listen_silence(bench: Bench, value: str) -> None:
    now, silence_s = [0.0], float(value)
    settings = bench.settings(BRIDGE_PROVIDER_LISTEN_SILENCE=value)
    asking = Asking(silence_s=_options(settings).listen_silence_s, now=lambda: now[0])
    asking.asked()
    for times, seen in ((0.99, (False, False)), (1, (True, False)), (2.99, (True, False)), (3, (True, True))):
        now[0] = times * silence_s
        assert (asking.wants_to_ask, asking.is_silent) == seen


async def conflict_pause(bench: Bench, value: str) -> None:
    settings = bench.settings(BRIDGE_PROVIDER_CONFLICT_PAUSE=value)
    rival = Rival(pause_s=_options(settings).conflict_pause_s, now=lambda: 0.0)
    first, second, away_s = (rival.displaced(1.0) for _ in range(3))
    assert first is second is None
    assert away_s is not None
    assert 0.75 * float(value) <= away_s <= 1.25 * float(value)


async def egress_proxy(bench: Bench, value: str) -> None:
    provider = await bench.recorder()
    async with connect_proxy() as proxy:
        proxy.login = value.rpartition("://")[2].rstrip("@").replace("%2F", "/")
        url = value + proxy.url.partition("://")[2]
        there = {"BRIDGE_PROVIDER_API_URL": provider.url, "BRIDGE_PROVIDER_AUTH_URL": provider.url}
        await called(bench, BRIDGE_EGRESS_PROXY=url, BRIDGE_EGRESS_NO_PROXY="elsewhere.net", **there)
        assert set(proxy.targets) == {provider.url.partition("://")[2]}


async def egress_no_proxy(bench: Bench, value: str) -> None:
    provider = await bench.recorder()
    async with connect_proxy() as proxy:
        there = {"BRIDGE_PROVIDER_API_URL": provider.url, "BRIDGE_PROVIDER_AUTH_URL": provider.url}
        await called(bench, BRIDGE_EGRESS_PROXY=proxy.url, BRIDGE_EGRESS_NO_PROXY=value, **there)
        assert bool(proxy.targets) == (value == "elsewhere.net")


async def egress_ca_file(bench: Bench, value: str) -> None:
    authority = make_authority(bench.folder, addresses=["127.0.0.1"])
    provider = await bench.recorder(authority.server)
    there = {"BRIDGE_PROVIDER_API_URL": provider.url, "BRIDGE_PROVIDER_AUTH_URL": provider.url}
    bundle = bench.folder / "bundle.pem"
    others = "".join(ssl.DER_cert_to_PEM_cert(each) for each in ssl.create_default_context().get_ca_certs(True))
    bundle.write_text(others * (value == "many") + authority.ca_file.read_text())
    settings = bench.settings(**there, **({"BRIDGE_EGRESS_CA_FILE": str(bundle)} if value else {}))
    async with open_session(settings) as session:
        try:
            async with session.get(provider.url) as answer:
                assert (answer.status, bool(value)) == (200, True)
        except OSError:
            assert not value


async def lease(bench: Bench, value: str) -> None:
    lease_ms, clock = float(value) * 1000, asyncio.get_running_loop().time
    passed_ms = left = 0.0
    while left <= 0:
        # Once more where it ran out before it was looked at.
        assert left == 0 or passed_ms > lease_ms
        began = clock()
        await bench.writer(bench.settings(BRIDGE_WORKER_LEASE=value))
        left = await bench.redis.pttl(KEYS.lease)
        passed_ms = (clock() - began) * 1000
    assert lease_ms - passed_ms - 1 <= left <= lease_ms


async def backlog(bench: Bench, value: str) -> None:
    settings, call = bench.settings(BRIDGE_WORKER_BACKLOG=value), a_count(1)
    kept = Backlog(await bench.writer(settings), Metrics(version="test"), most=_options(settings).backlog)
    kept.add([call] * (int(value) - 1))
    await asyncio.wait_for(kept.put([call]), PATIENCE_S)
    waits = asyncio.create_task(kept.put([call]))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waits.done()
    # What was read counts at once, and whoever read it waits.
    assert len(kept) == int(value) + 1
    waits.cancel()


async def newcount_rate(bench: Bench, value: str) -> None:
    pace = Pace(_options(bench.settings(BRIDGE_WORKER_NEWCOUNT_RATE=value)).newcount_rate, now=lambda: 0.0)
    turns = [pace.turn_s() for _ in range(11)]
    assert abs(turns[-1] - 10 / float(value)) < 1e-6


async def newcount_sweep(bench: Bench, value: str) -> None:
    # What either means: tests/worker/test_reconcile_sweep.py.
    assert _options(bench.settings(BRIDGE_WORKER_NEWCOUNT_SWEEP=value)).newcount_sweep is (value == "on")


async def directory_fields(bench: Bench, value: str) -> None:
    profile = Profile(BOB, "Bob", 1, ("b@x.cn",), "head", "1", "2", "3", ("a",), 1, 4)
    fields = _options(bench.settings(BRIDGE_DIRECTORY_FIELDS=value)).directory_fields
    assert list(stored_profile(profile, fields)) == value.split(",")


async def delete_share(bench: Bench, value: str) -> None:
    guard, share = _options(bench.settings(BRIDGE_DIRECTORY_DELETE_SHARE=value)).guard, float(value)
    everybody = 1000
    passes = max(5, int(everybody * share))
    assert not guard.refuses(passes, everybody)
    assert passes == everybody or guard.refuses(passes + 1, everybody)


async def delete_count(bench: Bench, value: str) -> None:
    guard, count = _options(bench.settings(BRIDGE_DIRECTORY_DELETE_COUNT=value)).guard, int(value)
    assert not guard.refuses(count, count)
    assert guard.refuses(count + 1, count + 1)


PARTLY = "alias,name,slaves,parties,status"

ROWS = {
    "BRIDGE_PRIVACY": Row(("count", "sender", "subject", "full"), privacy),
    "BRIDGE_PROVIDER_API_URL": Row(("", "/a/", "/a/b/" + "c" * 200), api_url),
    "BRIDGE_PROVIDER_AUTH_URL": Row(("", "/a/", "/a/b/" + "c" * 200), auth_url),
    "BRIDGE_PROVIDER_CLIENT_ID": Row(("1", "corp id", "x" * 500), client_id),
    "BRIDGE_PROVIDER_CLIENT_SECRET": Row(("1", "hush hush&=%+密", "x" * 500), client_secret),
    "BRIDGE_PROVIDER_LISTEN_SILENCE": Row(("1", "45", "3600"), listen_silence),
    "BRIDGE_PROVIDER_CONFLICT_PAUSE": Row(("1", "180", "3600"), conflict_pause),
    "BRIDGE_EGRESS_PROXY": Row(("", "http://", "http://me:hu%2Fsh@"), egress_proxy),
    "BRIDGE_EGRESS_NO_PROXY": Row(("elsewhere.net", "10.0.0.0/8, 127.0.0.0/8", "*"), egress_no_proxy),
    "BRIDGE_EGRESS_CA_FILE": Row(("", "one", "many"), egress_ca_file),
    "BRIDGE_WORKER_LEASE": Row(("1", "10", "300"), lease),
    "BRIDGE_WORKER_BACKLOG": Row(("1", "10000", "10000000"), backlog),
    "BRIDGE_WORKER_NEWCOUNT_RATE": Row(("0.1", "20", "10000"), newcount_rate),
    "BRIDGE_WORKER_NEWCOUNT_SWEEP": Row(("off", "on"), newcount_sweep),
    "BRIDGE_DIRECTORY_FIELDS": Row(("alias", PARTLY, ",".join(PROFILE_FIELDS)), directory_fields),
    "BRIDGE_DIRECTORY_DELETE_SHARE": Row(("0", "0.25", "1"), delete_share),
    "BRIDGE_DIRECTORY_DELETE_COUNT": Row(("0", "5", "10000000"), delete_count),
}
