"""Proving tokens by keys that a real HTTP server publishes, rotates, and fails to serve."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from bridge.access import codes
from bridge.access.access import Refused
from bridge.access.issuer import JwksVerifier, KeysAway, check_published
from bridge.access.jws import take_apart
from tests.support.waiting import until

FIRST = rsa.generate_private_key(65537, 2048)
SECOND = ec.generate_private_key(ec.SECP256R1())
CLAIMS = {"sub": "bob@gzdev.com", "exp": 4_000_000_000}


class Issuer:
    """Publishes keys over HTTP; ``asked`` counts, ``gate`` holds answers, ``answer`` replaces them."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer: web.Response | None = None
        self.url = ""

    def publish(self, **keys: Any) -> None:
        self.keys = []
        for kid, key in keys.items():
            algorithm = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
            self.keys.append({**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"})

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        await self.gate.wait()
        return self.answer or web.json_response({"keys": self.keys})


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    issuer.publish(a=FIRST)
    app = web.Application()
    app.router.add_get("/keys", issuer.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    yield issuer
    issuer.gate.set()
    await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def verifier(issuer: Issuer, session: aiohttp.ClientSession) -> JwksVerifier:
    """Asks the issuer whenever a token makes it."""
    return JwksVerifier(issuer.url, session=session, pause_s=0)


def token(kid: str | None = "a", key: Any = FIRST, alg: str = "", **claims: Any) -> str:
    alg = alg or ("RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256")
    return jwt.encode({**CLAIMS, **claims}, key, alg, headers={"kid": kid} if kid else None)


async def refusal(verifier: JwksVerifier, token: str) -> Refused:
    with pytest.raises(Refused) as refused:
        await verifier.verify(token)
    return refused.value


async def test_a_published_key_proves(verifier: JwksVerifier, issuer: Issuer) -> None:
    """RS and ES, named or not; the keys are fetched once for all of them."""
    issuer.publish(a=FIRST, b=SECOND)
    for made in (token(), token(alg="RS512"), token("b", SECOND), token(None)):
        assert await verifier.verify(made) == CLAIMS
    assert issuer.asked == 1


async def test_claims_are_judged_each_time(issuer: Issuer, session: aiohttp.ClientSession) -> None:
    """Audience, issuer and end, also of a token whose signature is remembered."""
    time_s = [1000.0]
    proving = JwksVerifier(issuer.url, session=session, audience="oa", issuer="us", now=lambda: time_s[0])
    assert (await refusal(proving, token(iss="us"))).label == "audience"
    assert (await refusal(proving, token(aud="oa"))).label == "issuer"
    good = token(aud="oa", iss="us", exp=2000)
    await proving.verify(good)
    time_s[0] = 2312
    refused = await refusal(proving, good)
    assert (refused.code, refused.message) == (codes.EXPIRED, "expired 312 s ago")


def hmac_with_public_key(kid: str) -> str:
    pem = FIRST.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "kid": kid}, CLAIMS)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return (signed + b"." + base64.urlsafe_b64encode(hmac.digest(pem, signed, "sha256")).rstrip(b"=")).decode()


async def test_algorithms_are_not_confused(verifier: JwksVerifier, issuer: Issuer) -> None:
    """A public key is no HMAC secret, ``none`` proves nothing; the issuer is not even asked."""
    unsigned = jwt.encode(CLAIMS, None, "none", headers={"kid": "a"})
    for forged in (hmac_with_public_key("a"), unsigned, token(alg="PS256"), jwt.encode(CLAIMS, "x" * 64, "HS512")):
        refused = await refusal(verifier, forged)
        assert (refused.status, refused.code, refused.label) == (401, codes.INVALID_TOKEN, "algorithm")
    assert "only RS256, RS384, RS512, ES256, ES384" in refused.message
    assert issuer.asked == 0


async def test_a_rotation_needs_nobody(verifier: JwksVerifier, issuer: Issuer) -> None:
    """An unknown name has the keys fetched; the withdrawn one proves no more, not even a token seen before."""
    await verifier.verify(token())
    issuer.publish(b=SECOND)
    assert await verifier.verify(token("b", SECOND)) == CLAIMS
    assert issuer.asked == 2
    refused = await refusal(verifier, token())
    assert (refused.status, refused.label) == (401, "signature")
    assert refused.message == "no key 'a' for RS256 is published; there are 'b'"


async def test_a_rotation_without_names(verifier: JwksVerifier, issuer: Issuer) -> None:
    """A token that names no key and fits none may be of a new one."""
    await verifier.verify(token(None))
    renewed = rsa.generate_private_key(65537, 2048)
    issuer.publish(b=renewed)
    assert await verifier.verify(token(None, renewed)) == CLAIMS


async def test_a_wrong_signature_asks_nobody(verifier: JwksVerifier, issuer: Issuer) -> None:
    """The key that is named is there: the token is bad, for good."""
    await verifier.verify(token())
    refused = await refusal(verifier, token(key=rsa.generate_private_key(65537, 2048)))
    assert (refused.status, refused.code, refused.label) == (401, codes.INVALID_TOKEN, "signature")
    assert issuer.asked == 1


async def test_strangers_cannot_make_us_ask(issuer: Issuer, session: aiohttp.ClientSession) -> None:
    """Within the pause an unknown name is answered "come later" and the issuer is left alone."""
    proving = JwksVerifier(issuer.url, session=session, pause_s=900.5)
    await proving.verify(token())
    for number in range(5):
        refused = await refusal(proving, token(f"x{number}"))
        assert (refused.status, refused.code, refused.label) == (503, codes.BUSY, "keys")
        assert refused.retry_after_s == 901
        assert "keys were fetched" in refused.message
    assert issuer.asked == 1
    assert await proving.verify(token(sid="s")) == {**CLAIMS, "sid": "s"}


async def test_many_at_once_ask_once(issuer: Issuer, session: aiohttp.ClientSession) -> None:
    """After a restart all pages come together; one question serves them, also if who asked it gives up."""
    proving = JwksVerifier(issuer.url, session=session)
    issuer.gate.clear()
    impatient = asyncio.create_task(proving.verify(token()))
    await until(lambda: issuer.asked == 1)
    waiting = [asyncio.create_task(proving.verify(token(sid=str(number)))) for number in range(20)]
    await asyncio.sleep(0)
    impatient.cancel()
    await until(lambda: issuer.asked == 2)
    issuer.gate.set()
    assert [claims["sid"] for claims in await asyncio.gather(*waiting)] == [str(number) for number in range(20)]
    assert issuer.asked == 2
    assert impatient.cancelled()


async def test_an_answer_that_came_meanwhile_is_fresh(issuer: Issuer, session: aiohttp.ClientSession) -> None:
    """Tokens that waited for the same question are refused for good by its answer, not asked to come later."""
    proving = JwksVerifier(issuer.url, session=session)
    issuer.gate.clear()
    waiting = [asyncio.create_task(refusal(proving, token(f"x{number}"))) for number in range(5)]
    await until(lambda: issuer.asked == 1)
    issuer.gate.set()
    assert [refused.status for refused in await asyncio.gather(*waiting)] == [401] * 5
    assert issuer.asked == 1


def _answers() -> dict[str, web.Response]:
    return {
        "status 503": web.Response(status=503),
        "status 302": web.Response(status=302, headers={"Location": "/keys"}),
        "not JSON": web.Response(text="<html>"),
        "not a JWK Set": web.json_response([]),
        "none of its 1 keys": web.json_response({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "b"}]}),
        "more than": web.Response(body=b" " * 1_100_000),
    }


@pytest.mark.parametrize("why", _answers())
async def test_known_keys_outlive_a_failing_issuer(verifier: JwksVerifier, issuer: Issuer, why: str) -> None:
    """Tokens of known keys go on to be proved; others cannot be judged now, and are not sent away for good."""
    await verifier.verify(token())
    issuer.answer = _answers()[why]
    refused = await refusal(verifier, token("b", SECOND))
    assert (refused.status, refused.code, refused.label) == (503, codes.BUSY, "keys")
    assert why in refused.message
    assert await verifier.verify(token(sid="s")) == {**CLAIMS, "sid": "s"}
    issuer.answer = None
    issuer.publish(a=FIRST, b=SECOND)
    assert await verifier.verify(token("b", SECOND)) == CLAIMS


async def test_an_issuer_that_is_not_there(session: aiohttp.ClientSession) -> None:
    """Nothing listens: 503 for everybody, since nothing can be judged."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/keys"
        refused = await refusal(JwksVerifier(url, session=session), token())
        assert (refused.status, refused.label) == (503, "keys")
        assert "cannot be reached" in refused.message
        with pytest.raises(KeysAway, match="cannot be reached"):
            await check_published(session, url, take_apart(token()))


async def test_keys_are_fetched_at_the_start_and_kept_fresh(issuer: Issuer, session: aiohttp.ClientSession) -> None:
    """Without any token asking: at once, again after a failure, and so a withdrawn key ends by itself."""
    issuer.answer = web.Response(status=500)
    async with JwksVerifier(issuer.url, session=session, max_age_s=0.01, pause_s=0.01) as proving:
        await until(lambda: issuer.asked >= 2)
        issuer.answer = None
        before = issuer.asked
        await until(lambda: issuer.asked >= before + 2)
        assert await proving.verify(token()) == CLAIMS
        issuer.publish(b=SECOND)
        before = issuer.asked
        await until(lambda: issuer.asked >= before + 2)
        assert (await refusal(proving, token())).status in (401, 503)


async def test_an_error_of_the_body_leaves_as_itself(issuer: Issuer, session: aiohttp.ClientSession) -> None:
    """The refreshing task ends with the block and wraps nothing."""
    with pytest.raises(LookupError, match="of the body"):
        async with JwksVerifier(issuer.url, session=session):
            raise LookupError("of the body")
    assert "jwks" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_defect_of_the_refreshing_ends_the_block(session: aiohttp.ClientSession) -> None:
    """What is no expected fault of an issuer must not leave keys to grow old in silence."""
    with pytest.raises(ExceptionGroup) as raised:
        async with JwksVerifier(None, session=session):  # type: ignore[arg-type] - the defect
            await asyncio.Event().wait()
    assert raised.group_contains(TypeError)


async def test_one_token_is_checked_against_fresh_keys(issuer: Issuer, session: aiohttp.ClientSession) -> None:
    """``token --check`` fetches for itself, and says when that cannot be."""
    assert (await check_published(session, issuer.url, take_apart(token()))).passed
    assert not (await check_published(session, issuer.url, take_apart(token("b", SECOND)))).passed
    issuer.answer = web.Response(text="<html>")
    with pytest.raises(KeysAway, match="not JSON"):
        await check_published(session, issuer.url, take_apart(token()))


async def test_an_empty_set_withdraws_every_key(issuer: Issuer, session: aiohttp.ClientSession) -> None:
    """It is an answer, not a fault: what was proved and remembered is refused from then on."""
    async with JwksVerifier(issuer.url, session=session, max_age_s=0.01, pause_s=0.01) as proving:
        good = token()
        await until(lambda: issuer.asked > 0)
        await proving.verify(good)
        issuer.keys = []

        async def refused() -> bool:
            try:
                await proving.verify(good)
            except Refused as no:
                return (no.status, no.label) == (401, "signature")
            return False

        await until(refused)
        issuer.publish(a=FIRST)
        asked = issuer.asked
        await until(lambda: issuer.asked > asked + 1)
        await proving.verify(good)


@pytest.mark.parametrize("answer", ["nothing readable", "an error"])
async def test_kept_keys_have_a_greatest_age(issuer: Issuer, session: aiohttp.ClientSession, answer: str) -> None:
    """An issuer that is away for long may have withdrawn them: then nobody is let in, and nobody sent away for good."""
    time_s = [0.0]
    proving = JwksVerifier(issuer.url, session=session, pause_s=0, kept_s=3600, clock=lambda: time_s[0])
    good = token()
    await proving.verify(good)
    issuer.answer = web.Response(status=200 if answer == "nothing readable" else 500, text="<html>maintenance</html>")
    time_s[0] = 3600
    await proving.verify(good)
    time_s[0] = 3601
    refused = await refusal(proving, good)
    assert (refused.status, refused.code, refused.label) == (503, codes.BUSY, "keys")
    issuer.answer = None
    await proving.verify(good)
