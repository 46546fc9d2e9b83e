"""``openapi/listen`` in all four readings of protocol 3.2, byte by byte."""

from __future__ import annotations

import pytest

from bridge.simulator import Framing, SecondListener

RET = b'{"Ret":0}'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nConnection: %b\r\n%b\r\n"
CHUNKED_HEAD = STREAM_HEAD % (b"keep-alive", b"Transfer-Encoding: chunked\r\n")
CLOSE_HEAD = STREAM_HEAD % (b"close", b"")
NOT_POLLING = [framing for framing in Framing if framing is not Framing.LONG_POLL]


def chunk(text: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(text), text)


def count_document(world, mailbox="bob@gzdev.com") -> bytes:
    return b'{"UserName":"%b","NewCount":%d}' % (mailbox.encode(), world.unread[mailbox])


async def listening(simulate, dial, world, **settings):
    """A connection whose listen request has arrived."""
    simulator = await simulate(**settings)
    wire = await dial(simulator)
    await wire.ask_listen(world.ver)
    await simulator.listeners.wait()
    return simulator, wire


async def test_same_socket(simulate, dial, world, http):
    """Reading (a): the acknowledgement, then responses of their own with no request outstanding."""
    _, wire = await listening(simulate, dial, world)
    await wire.expect(http(RET))
    world.deliver_mail("bob@gzdev.com")
    world.read("bob@gzdev.com")
    await wire.answer()
    await wire.expect(http(count_document(world)))


async def test_same_socket_asked_again(simulate, dial, world, http):
    """A second request on the same connection is acknowledged in line with the pushes, by the same listener."""
    simulator, wire = await listening(simulate, dial, world)
    await wire.expect(http(RET))
    await wire.ask_listen(world.ver + 5)
    await simulator.calls.wait("listen", 2)
    world.read("bob@gzdev.com")
    await wire.expect(http(RET) + http(count_document(world)))
    assert simulator.listeners.asked_vers == (world.ver + 5,)


async def test_other_calls_share_the_socket(simulate, dial, world, http):
    """The document: 客户端根据同一个连接，获取请求数据. Its answers stand in line with the pushes."""
    _, wire = await listening(simulate, dial, world)
    await wire.expect(http(RET))
    answer = await wire.call("/openapi/mail/newcount", "alias=bob@gzdev.com")
    assert answer["Alias"] == "bob@gzdev.com"
    world.read("bob@gzdev.com")
    await wire.expect(http(count_document(world)))


@pytest.mark.parametrize("separator", ["", "\n", "  \r\n "])
async def test_chunked(simulate, dial, world, separator):
    """Reading (c): one chunked response, any white space between the documents."""
    _, wire = await listening(simulate, dial, world, framing=Framing.STREAM_CHUNKED, separator=separator)
    await wire.expect(CHUNKED_HEAD + chunk(RET + separator.encode()))
    world.read("bob@gzdev.com")
    await wire.expect(chunk(count_document(world) + separator.encode()))


async def test_chunks_may_end_in_mid_document(simulate, dial, world):
    """Reading (c) again: where a chunk ends means nothing."""
    _, wire = await listening(simulate, dial, world, framing=Framing.STREAM_CHUNKED, split_chunks=True)
    await wire.expect(CHUNKED_HEAD + chunk(RET))
    world.read("bob@gzdev.com")
    sizes, text = [], b""
    for _ in range(2):
        size = int((await wire.reader.readline()).strip(), 16)
        text += await wire.reader.readexactly(size)
        assert await wire.reader.readexactly(2) == b"\r\n"
        sizes.append(size)
    assert text == count_document(world)
    assert all(sizes)


@pytest.mark.parametrize("separator", ["", "\n", "  \r\n "])
async def test_until_close(simulate, dial, world, separator):
    """Reading (c) without a length: the body ends with the connection."""
    simulator, wire = await listening(simulate, dial, world, framing=Framing.STREAM_CLOSE, separator=separator)
    world.read("bob@gzdev.com")
    end = separator.encode()
    await wire.expect(CLOSE_HEAD + RET + end + count_document(world) + end)
    simulator.cut("fin")
    await wire.expect_end()


async def test_bare(simulate, dial, world, http):
    """Reading (d): a complete response, then JSON with nothing around it; a second request gets a response again."""
    simulator, wire = await listening(simulate, dial, world, framing=Framing.BARE)
    world.read("bob@gzdev.com")
    await wire.expect(http(RET) + count_document(world))
    await wire.ask_listen(world.ver)
    await simulator.calls.wait("listen", 2)
    world.read("bob@gzdev.com")
    await wire.expect(http(RET) + count_document(world))


@pytest.mark.parametrize("framing", [Framing.STREAM_CHUNKED, Framing.STREAM_CLOSE])
async def test_a_request_into_an_open_body_is_ignored(simulate, dial, world, framing):
    """While a response goes on no request can be answered; the log shows who tried."""
    simulator, wire = await listening(simulate, dial, world, framing=framing)
    await wire.ask_listen(world.ver)
    await simulator.calls.wait("/openapi/listen", outcome="ignored")
    assert simulator.calls.count("listen", "ok") == 1


async def test_long_poll_gives_one_document_a_request(simulate, dial, world, http):
    """Reading (b): held until something happens; what happens meanwhile waits for the next request, in order."""
    simulator, wire = await listening(simulate, dial, world, framing=Framing.LONG_POLL)
    first, second = world.deliver_many(2, "bob@gzdev.com")
    assert (first.pushed, second.pushed) == (True, False)
    _, body = await wire.answer()
    assert first.mail_id.encode() in body
    await wire.ask_listen(world.ver)
    _, body = await wire.answer()
    assert second.mail_id.encode() in body
    assert second.pushed
    await wire.ask_listen(world.ver)
    await simulator.listeners.wait_hearing()
    world.read("bob@gzdev.com")
    await wire.expect(http(count_document(world)))


async def test_long_polls_that_wait_behind_each_other(simulate, dial, world, http):
    """As HTTP has it: a request that was written behind one that is held is answered after it, and each is."""
    simulator, wire = await listening(simulate, dial, world, framing=Framing.LONG_POLL)
    await wire.ask_listen(world.ver)
    await simulator.calls.wait("listen", 2)
    world.read("bob@gzdev.com")
    await wire.expect(http(count_document(world)))
    await simulator.listeners.wait_hearing()
    world.read("bob@gzdev.com")
    await wire.expect(http(count_document(world)))
    world.read("bob@gzdev.com")
    await wire.ask_listen(world.ver)
    await wire.expect(http(count_document(world)))


async def test_long_poll_without_grace_loses_what_comes_between(simulate, dial, world, http):
    """The worst case: nothing is kept between two polls, and it never comes again."""
    simulator, wire = await listening(simulate, dial, world, framing=Framing.LONG_POLL, hold_ms=0)
    first, second = world.deliver_many(2)
    await wire.answer()
    await wire.ask_listen(world.ver)
    await simulator.listeners.wait_hearing()
    world.read("bob@gzdev.com")
    await wire.expect(http(count_document(world)))
    assert (first.pushed, second.pushed) == (True, False)
    assert (first.overdue, second.overdue) == (False, True)


async def test_long_poll_of_nothing(simulate, dial, world, http):
    """At the end of its hold a poll is answered with the acknowledgement."""
    _, wire = await listening(simulate, dial, world, framing=Framing.LONG_POLL, poll_hold_s=0.01)
    await wire.expect(http(RET))


async def test_long_poll_that_acknowledges_first(simulate, dial, world, http):
    """The first poll of a connection may be answered at once; the second is held."""
    simulator, wire = await listening(simulate, dial, world, framing=Framing.LONG_POLL, poll_acknowledges=True)
    await wire.expect(http(RET))
    await wire.ask_listen(world.ver)
    await simulator.listeners.wait_hearing()
    world.read("bob@gzdev.com")
    await wire.expect(http(count_document(world)))


@pytest.mark.parametrize("framing", NOT_POLLING)
async def test_an_older_ver_is_told_the_newest(simulate, dial, world, framing):
    """After the acknowledgement comes the Ver, once, if the asked one is older; 0 is older than all."""
    simulator = await simulate(framing=framing)
    wire = await dial(simulator)
    await wire.ask_listen(0)
    await simulator.listeners.wait()
    world.read("bob@gzdev.com")
    simulator.cut("fin")
    text = await wire.read_to_end()
    ver = b'{"Ver":"%d"}' % world.ver
    assert text.count(ver) == 1
    assert text.index(RET) < text.index(ver) < text.index(count_document(world))


async def test_an_older_ver_ends_a_long_poll_at_once(simulate, dial, world, http):
    """With long polls the newer Ver is the answer itself."""
    simulator = await simulate(framing=Framing.LONG_POLL)
    wire = await dial(simulator)
    await wire.ask_listen(world.ver - 1)
    await wire.expect(http(b'{"Ver":"%d"}' % world.ver))


@pytest.mark.parametrize("framing", NOT_POLLING)
async def test_what_was_missed_never_comes(simulate, dial, world, framing):
    """A mail without a listener is not pushed then, and not later."""
    simulator = await simulate(framing=framing)
    missed = world.deliver_mail("bob@gzdev.com")
    wire = await dial(simulator)
    await wire.ask_listen(world.ver)
    await simulator.listeners.wait()
    heard = world.deliver_mail("bob@gzdev.com")
    simulator.cut("fin")
    text = await wire.read_to_end()
    assert heard.mail_id.encode() in text
    assert missed.mail_id.encode() not in text
    assert (missed.pushed, heard.pushed) == (False, True)


async def test_second_listener_displaces_the_first(simulate, dial, world, http):
    """The first sees an orderly end, the second is served."""
    simulator, first = await listening(simulate, dial, world)
    second = await dial(simulator)
    await second.ask_listen(world.ver)
    await first.expect(http(RET))
    await first.expect_end()
    world.read("bob@gzdev.com")
    await second.expect(http(RET) + http(count_document(world)))
    assert simulator.listeners.count == 1


async def test_both_listeners_are_served(simulate, dial, world, http):
    """The other possibility: everybody hears everything."""
    simulator, first = await listening(simulate, dial, world, second_listener=SecondListener.BOTH)
    second = await dial(simulator)
    await second.ask_listen(world.ver)
    await simulator.listeners.wait(2)
    world.read("bob@gzdev.com")
    for wire in (first, second):
        await wire.expect(http(RET) + http(count_document(world)))


async def test_second_listener_is_refused_while_the_place_is_taken(simulate, dial, world, http):
    """A crashed listener's place may stay taken for a time; until then others get another Ret."""
    simulator, first = await listening(
        simulate, dial, world, second_listener=SecondListener.REFUSED, crashed_hold_s=3600.0
    )
    second = await dial(simulator)
    await second.ask_listen(world.ver)
    await second.expect(http(b'{"Ret":1}'))
    first.close()
    await simulator.listeners.wait(0)
    await second.ask_listen(world.ver)
    await second.expect(http(b'{"Ret":1}'))
    simulator.rules.second_listener = SecondListener.DISPLACES
    await second.ask_listen(world.ver)
    await second.expect(http(RET))


async def test_the_framing_can_be_switched(simulate, dial, world, http):
    """What listens keeps its framing; who comes later gets the new one."""
    simulator, first = await listening(simulate, dial, world, second_listener=SecondListener.BOTH)
    simulator.dialect.framing = Framing.STREAM_CHUNKED
    second = await dial(simulator)
    await second.ask_listen(world.ver)
    await simulator.listeners.wait(2)
    world.read("bob@gzdev.com")
    await first.expect(http(RET) + http(count_document(world)))
    await second.expect(CHUNKED_HEAD + chunk(RET) + chunk(count_document(world)))


async def test_content_type_may_be_absent_or_wrong(simulate, dial, world, http):
    """The body is UTF-8 whatever the header says, and the header is often not there."""
    simulator, wire = await listening(simulate, dial, world, content_type=None)
    await wire.expect(http(RET, content_type=b""))
    simulator.dialect.content_type = "text/html; charset=GBK"
    mail = world.deliver_mail("bob@gzdev.com", subject="标题")
    head, body = await wire.answer()
    assert "Content-Type: text/html; charset=GBK\r\n" in head
    assert "标题".encode() in body
    assert mail.pushed


async def test_a_burst_is_whole_and_in_order(simulate, dial, world, http):
    """20,000 mails come as 20,000 responses in their order."""
    _, wire = await listening(simulate, dial, world)
    await wire.expect(http(RET))
    mails = world.deliver_many(20_000)
    for mail in mails:
        _, body = await wire.answer()
        assert mail.mail_id.encode() in body
    assert all(mail.pushed for mail in mails)
