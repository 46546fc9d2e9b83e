"""``mail/authkey`` and the login page (protocol 3.1): one key, one mailbox, once, for some minutes."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest

BOB = "bob@gzdev.com"
HOSTILE = "<img src=x onerror=alert(1)>\"'&\x00"


class Page(HTMLParser):
    """What a browser would make of the page: its elements, its text, and the facts on ``main``."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""
        self.facts: dict[str, str | None] = {}
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        if tag == "main":
            self.facts = dict(attrs)

    def handle_data(self, data):
        self.text += data


class Door:
    """A browser before the login page, with the link that an OA would give it."""

    def __init__(self, wire, world):
        self.wire = wire
        self.world = world

    async def key(self, alias: str = BOB) -> str:
        return (await self.wire.call("/openapi/mail/authkey", f"alias={alias}"))["auth_key"]

    async def open(self, *, path: str = "/cgi-bin/login", by: str = "GET", **fields: str | None) -> Page:
        link = {"fun": "bizopenssologin", "method": "bizauth", "agent": self.world.client_id, "user": BOB} | fields
        query = urlencode({name: value for name, value in link.items() if value is not None})
        if by == "GET":
            self.wire.ask(f"{path}?{query}", method="GET", token="")
        else:
            self.wire.ask(path, query, token="")
        head, body = await self.wire.answer()
        assert head.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=UTF-8\r\n")
        return Page(body.decode())


@pytest.fixture
async def simulator(simulate):
    return await simulate(auth_key_life_s=300)


@pytest.fixture
async def door(simulator, dial, world) -> Door:
    return Door(await dial(simulator), world)


async def test_the_key_is_called_auth_key(simulator, door):
    """Hex digits under the real name; the document's two spellings can be had too."""
    assert re.fullmatch(r"[0-9A-F]{112}", await door.key())
    for name in ("authkey", "kuthkey"):
        simulator.commands.do("dialect", {"auth_key_name": name})
        assert list(await door.wire.call("/openapi/mail/authkey", f"ALIAS={BOB}")) == [name]


async def test_no_key_for_nobody(door, world):
    """A missing alias is 1001, one that no account has 1301, a slave's too."""
    world.modify_user(BOB, slaves=("b1@gzdev.com",))
    for body, errcode in (("", "1001"), ("alias=no@gzdev.com", "1301"), ("alias=b1@gzdev.com", "1301")):
        assert (await door.wire.call("/openapi/mail/authkey", body))["errcode"] == errcode


@pytest.mark.parametrize("by", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/cgi-bin/login", "/cgibin/login"])
async def test_it_opens_the_inbox(door, world, path, by):
    """Without mailid the page shows whose mailbox it is and the newest mails, by either spelling of the path."""
    first, second = world.deliver_mail(BOB, subject="first"), world.deliver_mail(BOB, subject="second")
    world.deliver_mail(next(alias for alias in world.accounts if alias != BOB), subject="not Bob's")
    page = await door.open(path=path, by=by, ticket=await door.key(), user=" BOB@gzdev.com")
    assert page.facts == {"data-outcome": "ok", "data-mailbox": BOB, "data-mail-id": ""}
    assert f"Bob <{BOB}>" in page.text
    assert f"Unread: {world.unread[BOB]}" in page.text
    assert page.text.index(second.subject) < page.text.index(first.subject)
    assert "not Bob's" not in page.text


async def test_it_opens_the_mail(door, world):
    """With mailid that mail is open, and no other is shown."""
    world.deliver_mail(BOB, subject="another")
    mail = world.deliver_mail(BOB, sender='"A" <a@gzdev.com>', subject="wanted", summary="its text")
    page = await door.open(ticket=await door.key(), mailid=mail.mail_id)
    assert page.facts["data-mail-id"] == mail.mail_id
    assert all(text in page.text for text in ("wanted", "its text", '"A" <a@gzdev.com>'))
    assert "another" not in page.text


async def test_nobody_else_s_mail_is_opened(door, world):
    """A MailId of another mailbox, or of none, leads to the inbox."""
    other = world.deliver_mail(next(alias for alias in world.accounts if alias != BOB), subject="secret")
    for mail_id in (other.mail_id, "ZC0000-none"):
        page = await door.open(ticket=await door.key(), mailid=mail_id)
        assert (page.facts["data-outcome"], page.facts["data-mail-id"]) == ("ok", "")
        assert "not in the mailbox" in page.text
        assert "secret" not in page.text


async def test_mails_of_before_a_swap_are_still_there(door, world):
    """A mail that came to the old main address belongs to the mailbox of the new one."""
    world.modify_user(BOB, slaves=("b1@gzdev.com",))
    mail = world.deliver_mail(BOB)
    world.swap_alias(BOB, "b1@gzdev.com")
    page = await door.open(user="b1@gzdev.com", ticket=await door.key("b1@gzdev.com"), mailid=mail.mail_id)
    assert page.facts["data-mail-id"] == mail.mail_id


@pytest.mark.parametrize("opened", [True, False])
async def test_hostile_mail_is_text(door, world, opened):
    """Markup in a mail or a name is shown and not obeyed, in the mail and in the inbox; no script could run."""
    world.modify_user(BOB, name=HOSTILE)
    mail = world.deliver_mail(BOB, subject=HOSTILE, sender=HOSTILE, summary=HOSTILE, mail_id='"><script>')
    page = await door.open(ticket=await door.key(), mailid=mail.mail_id if opened else "")
    assert not {"img", "script"} & set(page.elements)
    assert page.text.count("<img src=x onerror=alert(1)>\"'&\ufffd") == (3 if opened else 2)
    assert page.facts["data-mail-id"] == (mail.mail_id if opened else "")


async def test_a_key_opens_once(simulator, door):
    """The second time it is used; a key that was given after it is not."""
    first, second = await door.key(), await door.key()
    outcomes = [(await door.open(ticket=key)).facts["data-outcome"] for key in (first, first, second)]
    assert outcomes == ["ok", "used", "ok"]
    assert simulator.calls.count("login", "ok") == 2
    assert simulator.calls.count("login", "used") == 1


async def test_a_key_expires(door, clock):
    """It opens until its life is over, and not after."""
    early, late = await door.key(), await door.key()
    clock[0] += 299.9
    assert (await door.open(ticket=early)).facts["data-outcome"] == "ok"
    clock[0] += 0.2
    page = await door.open(ticket=late)
    assert page.facts == {"data-outcome": "expired"}
    assert "expired" in page.text


async def test_a_key_is_for_one_mailbox(door, world):
    """For somebody else's it opens nothing, and is not used up by that."""
    other = next(alias for alias in world.accounts if alias != BOB)
    key = await door.key()
    assert (await door.open(ticket=key, user=other)).facts == {"data-outcome": "wrong-user"}
    assert (await door.open(ticket=key)).facts["data-outcome"] == "ok"


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"agent": "other"}, "wrong-agent"),
        ({"agent": None}, "wrong-agent"),
        ({"user": "no@gzdev.com"}, "no-such-user"),
        ({"user": None}, "no-such-user"),
        ({"ticket": "F" * 112}, "unknown-key"),
        ({"ticket": None}, "unknown-key"),
        ({"fun": "other"}, "bad-request"),
        ({"method": None}, "bad-request"),
    ],
)
async def test_what_is_wrong_is_said(door, fields, outcome):
    """Every part of the link is checked; the page says which is wrong, and the key is still good."""
    key = await door.key()
    page = await door.open(**({"ticket": key} | fields))
    assert page.facts == {"data-outcome": outcome}
    assert "Login failed" in page.text
    assert (await door.open(ticket=key)).facts["data-outcome"] == "ok"


async def test_a_disabled_account_is_not_opened(door, world):
    """It gets a key, and the page refuses it."""
    world.modify_user(BOB, open_type=2)
    assert (await door.open(ticket=await door.key())).facts == {"data-outcome": "disabled"}


async def test_keys_stay_out_of_the_log(simulator, door, world):
    """The log of calls knows who came in and to which mail, not with what; the truth knows the key."""
    key = await door.key()
    await door.open(ticket=key, mailid="ZC1")
    (call,) = simulator.calls.of("login")
    assert (call.params["user"], call.params["mailid"]) == ([BOB], ["ZC1"])
    assert key not in repr(list(simulator.calls))
    assert key not in repr(world.auth_keys.all)
    (known,) = world.truth()["auth_keys"]
    assert (known.text, known.user, known.used) == (key, BOB, True)


async def test_a_fault_is_a_page_too(simulator, door):
    """A browser sees HTML when the login page is broken, not JSON."""
    key = await door.key()
    simulator.faults.on("errcode", endpoint="login", value=1002, times=1)
    assert (await door.open(ticket=key)).facts == {"data-outcome": "1002"}
    assert (await door.open(ticket=key)).facts["data-outcome"] == "ok"
