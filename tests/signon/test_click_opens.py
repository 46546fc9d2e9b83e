"""A click that succeeds: through the edge, by the redirect, to the page of the right mailbox and mail."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from bridge.journal.calls import Advance
from bridge.simulator import Simulator
from tests.support.clicks import HTML, Stage, clicking, signon_alone
from tests.support.stage import BOB, bearer, leading_writer, token
from tests.support.waiting import until

SLAVE = "bobby@gzdev.com"


async def test_a_click_opens_that_mail_in_the_right_mailbox(stage: Stage) -> None:
    """By cookie: 302 to the provider's one-click login, whose page shows Bob's mailbox at the mail that was clicked."""
    mail = stage.simulator.world.deliver_mail(BOB)
    stage.simulator.world.deliver_mail(BOB)
    answer = await stage.browser.click(f"?mailid={mail.mail_id}", **HTML)
    assert (answer.status, answer.body) == (302, "")
    fields = parse_qs(urlsplit(answer.location).query)
    assert {name: value for name, [value] in fields.items() if name != "ticket"} == {
        "fun": "bizopenssologin",
        "method": "bizauth",
        "agent": stage.simulator.world.client_id,
        "user": BOB,
        "mailid": mail.mail_id,
    }
    opened = await stage.browser.get(answer.location)
    assert opened.page.facts == {"data-outcome": "ok", "data-mailbox": BOB, "data-mail-id": mail.mail_id}
    assert stage.clicks("opened") == 1


async def test_without_a_mail_it_is_the_inbox(stage: Stage) -> None:
    """No ``mailid``, or an empty one: the provider is told of none."""
    for query in ("", "?mailid="):
        answer = await stage.browser.click(query)
        assert "mailid" not in answer.location
        assert (await stage.browser.get(answer.location)).page.facts["data-mail-id"] == ""


async def test_each_click_has_a_key_of_its_own(stage: Stage) -> None:
    """A key opens once; the next click brings another one. The access token is in no address."""
    first, second = [(await stage.browser.click()).location for _ in range(2)]
    assert first != second
    assert stage.keys == 2
    assert (await stage.browser.get(first)).page.facts["data-outcome"] == "ok"
    assert (await stage.browser.get(first)).page.facts["data-outcome"] == "used"
    assert (await stage.browser.get(second)).page.facts["data-outcome"] == "ok"
    assert "access_token" not in first


async def test_the_redirect_leaves_nothing_behind(stage: Stage) -> None:
    """No cache keeps it, no Referer tells of it, nothing may frame it."""
    headers = (await stage.browser.click()).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_every_credential_may_click(stage: Stage) -> None:
    """Bearer, and a ticket, which is spent by it."""
    path = f"{stage.browser.url}/mail/open"
    assert (await stage.browser.get(path, **bearer())).status == 302
    ticket = await stage.browser.ticket()
    assert (await stage.browser.get(f"{path}?ticket={ticket}")).status == 302
    again = await stage.browser.get(f"{path}?ticket={ticket}", **HTML)
    assert (again.status, again.page.facts["data-result"]) == (401, "refused")
    assert ticket not in again.body


async def test_a_further_mailbox_of_the_token_may_be_chosen(stage: Stage) -> None:
    """``?mailbox=`` chooses among those that the token names."""
    other = list(stage.simulator.world.accounts)[1]
    cookie = f"exmail_bridge={token(mailboxes=[other])}"
    answer = await stage.browser.click(f"?mailbox={other.upper()}", Cookie=cookie)
    assert (await stage.browser.get(answer.location)).page.facts["data-mailbox"] == other


async def test_a_slave_opens_its_accounts_mailbox(redis_url: str, simulator: Simulator) -> None:
    """A token for a 别名: the provider knows logins of accounts, and events name the account."""
    async with leading_writer(redis_url) as (writer, _), clicking(redis_url, simulator) as stage:
        await writer.commit([Advance(None, 5, profiles={BOB: b"{}"}, slaves={SLAVE: BOB})])
        for query in ("", f"?mailbox={SLAVE}", f"?mailbox={BOB}"):
            answer = await stage.browser.click(query, mailbox=SLAVE)
            assert (await stage.browser.get(answer.location)).page.facts["data-mailbox"] == BOB


async def test_a_link_on_another_site_may_be_followed(stage: Stage) -> None:
    """A navigation, with the cookie, from anywhere: people put such links into wikis and mails."""
    sent = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert (await stage.browser.click(**sent)).status == 302


async def test_head_fetches_no_key(stage: Stage) -> None:
    """What looks whether a link is alive does not open a mailbox."""
    cookie = f"exmail_bridge={token()}"
    answer = await stage.browser.get(f"{stage.browser.url}/mail/open", method="HEAD", Cookie=cookie)
    assert answer.status == 405
    assert stage.keys == 0


async def test_below_the_public_path_and_alone(redis_url: str, simulator: Simulator) -> None:
    """The prefix of the public URL is accepted, and a process beside the edge does the same, its tickets too."""
    public = {"BRIDGE_EDGE_PUBLIC_URL": "https://oa.corp.com/exmail/"}
    async with (
        clicking(redis_url, simulator, **public) as stage,
        signon_alone(redis_url, simulator, **public) as alone,
    ):
        assert (await stage.browser.get(f"{stage.browser.url}/exmail/mail/open", **bearer())).status == 302
        for path in ("/mail/open", "/exmail/mail/open"):
            ticket = await stage.browser.ticket()
            answer = await stage.browser.get(f"{alone}{path}?ticket={ticket}")
            assert (await stage.browser.get(answer.location)).page.facts["data-mailbox"] == BOB
        assert (await stage.browser.get(f"{alone}/ws")).status == 404


async def test_a_click_is_measured(stage: Stage) -> None:
    """Seconds from the click to the redirect, and the call to the provider."""
    await stage.browser.click()
    value = stage.metrics.registry.get_sample_value
    assert value("exmail_bridge_signon_seconds_count") == 1
    ok = {"endpoint": "mail/authkey", "outcome": "ok"}
    await until(lambda: value("exmail_bridge_provider_calls_total", ok) == 1)
