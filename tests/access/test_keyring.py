"""Secrets of tokens that are exchanged while a program runs."""

from __future__ import annotations

from collections.abc import Mapping

import jwt
import pytest
from aiohttp.test_utils import make_mocked_request

from bridge.access import codes
from bridge.access.access import Access
from bridge.access.keyring import Keyring
from bridge.access.refused import Refused
from bridge.access.secret import SecretVerifier

OLD = b"the old secret, of 32 bytes and some more"
NEW = b"the new secret, of 32 bytes and some more"
CLAIMS = {"sub": "bob@gzdev.com", "exp": 4_000_000_000}


class Shelf:
    """Where the secrets are, how often they were read, and what time it is."""

    def __init__(self, *secrets: bytes) -> None:
        self.secrets = list(secrets)
        self.reads = 0
        self.seconds = 0.0
        self.keyring = Keyring(self.read, clock=lambda: self.seconds)
        self.verifier = SecretVerifier(self.keyring)

    def read(self) -> list[bytes]:
        self.reads += 1
        return self.secrets

    async def accepts(self, secret: bytes) -> bool:
        try:
            return bool(await self.verifier.verify(jwt.encode(CLAIMS, secret, "HS256")))
        except Refused:
            return False


async def test_a_signature_that_matches_none_has_the_secrets_read_again() -> None:
    """Whoever signs with the new one first is let in, without a signal to the edge."""
    shelf = Shelf(OLD)
    shelf.secrets = [OLD, NEW]
    shelf.seconds = 1.0
    assert await shelf.accepts(NEW)
    assert await shelf.accepts(OLD)


async def test_forged_tokens_read_the_file_once_a_second() -> None:
    """However many come."""
    shelf = Shelf(OLD)
    for shelf.seconds in (0.0, 0.5, 0.99, 1.0, 1.5, 2.0):
        for _ in range(5):
            assert not await shelf.accepts(NEW)
    assert shelf.reads == 3


async def test_secrets_that_cannot_be_used_leave_those_before(caplog: pytest.LogCaptureFixture) -> None:
    """None, a short one, a public key: each is said, and whoever could sign goes on to."""
    public = b"-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n"
    for useless in ([], [OLD, b"short"], [public]):
        shelf = Shelf(OLD)
        shelf.secrets = useless
        shelf.keyring.reload()
        assert await shelf.accepts(OLD)
        assert not shelf.keyring.changed.is_set()
    assert [record.message for record in caplog.records] == [
        "secrets of tokens cannot be used, those before stay in use"
    ] * 3
    assert "short" not in caplog.text.replace("shortest", "")
    assert "MFkw" not in caplog.text


def test_a_name_outlives_its_secret_but_is_not_believed() -> None:
    """What a secret signed counts as long as it is there; what none signed is not its business."""
    shelf = Shelf(OLD, NEW)
    old, new = shelf.keyring.keys
    assert shelf.keyring.believes(old)
    shelf.secrets = [NEW]
    shelf.keyring.reload()
    assert not shelf.keyring.believes(old)
    assert shelf.keyring.believes(new)
    assert shelf.keyring.believes("")
    shelf.secrets = [NEW, OLD]
    shelf.keyring.reload()
    assert shelf.keyring.believes(old)


class Drawer:
    """Tickets, as the journal keeps them."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put_ticket(self, claims: bytes, *, life_s: int = 30) -> str:
        self.kept["ticket"] = claims
        return "ticket"

    async def take_ticket(self, ticket: str) -> bytes | None:
        return self.kept.pop(ticket, None)


def access_by(shelf: Shelf, drawer: Drawer) -> Access:
    return Access(verifier=shelf.verifier, tickets=drawer, cookie_name="bridge", claim="sub")


async def identified(access: Access, path: str = "/", headers: Mapping[str, str] = {}) -> object:
    return await access.identify(make_mocked_request("GET", path, headers=headers))


async def test_a_ticket_is_worth_no_more_than_the_token_behind_it() -> None:
    """Where the secret is gone when the ticket is spent, it opens nothing, on an edge that started since, too."""
    drawer = Drawer()
    signed = {"Authorization": f"Bearer {jwt.encode(CLAIMS, OLD, 'HS256')}"}
    for gone in (False, True):
        shelf = Shelf(OLD, NEW)
        identity = await access_by(shelf, drawer).identify(make_mocked_request("GET", "/", headers=signed))
        assert OLD not in drawer.kept.get("ticket", b"")
        await access_by(shelf, drawer).make_ticket(identity)
        other = Shelf(NEW) if gone else Shelf(NEW, OLD)
        spending = identified(access_by(other, drawer), "/?ticket=ticket")
        if gone:
            with pytest.raises(Refused, match="secret that signed") as refused:
                await spending
            assert refused.value.code == codes.NO_CREDENTIAL
        else:
            assert (await spending).mailboxes == ("bob@gzdev.com",)


async def test_a_ticket_of_an_edge_that_read_the_secrets_first_is_taken() -> None:
    """Another edge has the new secret already; this one reads it because of the ticket."""
    drawer = Drawer()
    ahead, behind = Shelf(OLD, NEW), Shelf(OLD)
    signed = {"Authorization": f"Bearer {jwt.encode(CLAIMS, NEW, 'HS256')}"}
    access = access_by(ahead, drawer)
    await access.make_ticket(await access.identify(make_mocked_request("GET", "/", headers=signed)))
    behind.secrets = [OLD, NEW]
    behind.seconds = 1.0
    assert (await identified(access_by(behind, drawer), "/?ticket=ticket")).mailboxes == ("bob@gzdev.com",)
