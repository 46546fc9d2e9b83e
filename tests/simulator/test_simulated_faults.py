"""Every fault, on the wire (provider in practice, section 7)."""

from __future__ import annotations

import asyncio
import contextlib

import orjson
import pytest

from bridge.simulator import Cut, Defect, Faults, Framing, Kind

RET = b'{"Ret":0}'
LIST = "/openapi/user/list"


async def listening(simulate, dial, world, **settings):
    """A connection that listens; its first response is read."""
    simulator = await simulate(**settings)
    wire = await dial(simulator)
    await wire.ask_listen(world.ver)
    await simulator.listeners.wait()
    return simulator, wire


async def test_cut_in_order(simulate, dial, world, http):
    """FIN: what was pushed before arrives, then the end."""
    simulator, wire = await listening(simulate, dial, world)
    world.deliver_mail()
    assert simulator.cut(Cut.FIN) == 1
    assert not world.deliver_mail().pushed
    await wire.expect(http(RET))
    await wire.answer()
    await wire.expect_end()


async def test_cut_hard(simulate, dial, world):
    """RST: the client sees a reset connection."""
    simulator, wire = await listening(simulate, dial, world)
    assert simulator.cut(Cut.RST) == 1
    with pytest.raises(ConnectionResetError):
        await wire.read_to_end()
    assert simulator.listeners.count == 0


async def test_cut_spares_who_does_not_listen(simulate, dial, world):
    """Only listeners are cut, unless everything is meant."""
    simulator, _ = await listening(simulate, dial, world)
    other = await dial(simulator)
    assert (await other.call(LIST, f"Ver={world.ver}"))["Count"] == 0
    assert simulator.cut() == 1
    assert (await other.call(LIST, f"Ver={world.ver}"))["Count"] == 0
    assert simulator.cut(Cut.FIN, everything=True) >= 1
    await other.expect_end()


@pytest.mark.parametrize("framing", [*Framing])
async def test_cut_in_mid_document(simulate, dial, world, framing):
    """The document ends in its middle, and such a mail was not pushed."""
    simulator, wire = await listening(simulate, dial, world, framing=framing)
    simulator.faults.on(Kind.CUT_MID_DOCUMENT, times=1)
    mail = world.deliver_mail("bob@gzdev.com", summary="x" * 100)
    text = await wire.read_to_end()
    assert b'{"UserName":"bob@gzdev.com","MailId"' in text
    assert b'"NewCount"' not in text
    assert not mail.pushed
    assert not simulator.faults.active


@pytest.mark.parametrize("framing", [*Framing])
async def test_answer_then_close(simulate, dial, world, framing):
    """The acknowledgement comes, and then the orderly end of the connection, chunks included."""
    simulator = await simulate(framing=framing)
    simulator.faults.on("answer-then-close")
    wire = await dial(simulator)
    await wire.ask_listen(0)
    text = await wire.read_to_end()
    assert text.endswith(b"0\r\n\r\n" if framing is Framing.STREAM_CHUNKED else RET)
    assert simulator.listeners.count == 0


async def test_half_open_silence(simulate, dial, world, http):
    """The connection stays and nothing comes; what happened meanwhile is lost, what follows is heard."""
    simulator, wire = await listening(simulate, dial, world)
    await wire.expect(http(RET))
    simulator.faults.on(Kind.SILENT, endpoint="listen")
    lost = world.deliver_mail("bob@gzdev.com")
    assert (await (await dial(simulator)).call(LIST, "Ver=0"))["Count"] == 4
    simulator.faults.off(Kind.SILENT)
    heard = world.deliver_mail("bob@gzdev.com")
    _, body = await wire.answer()
    assert heard.mail_id.encode() in body
    assert (lost.pushed, heard.pushed) == (False, True)


async def test_a_request_that_nothing_answers_makes_its_connection_mute(simulate, dial, world, http):
    """What came later on it could only be its answer; another connection is served."""
    simulator, wire = await listening(simulate, dial, world)
    await wire.expect(http(RET))
    simulator.faults.on(Kind.SILENT, endpoint="listen", times=1)
    await wire.ask_listen(world.ver)
    await simulator.calls.wait("listen", outcome="silent")
    await wire.ask_listen(world.ver)
    await simulator.calls.wait("listen", 2, outcome="silent")
    lost = world.deliver_mail("bob@gzdev.com")
    other = await dial(simulator)
    await other.ask_listen(world.ver)
    await other.expect(http(RET))
    heard = world.deliver_mail("bob@gzdev.com")
    _, body = await other.answer()
    assert heard.mail_id.encode() in body
    assert not lost.pushed


async def test_drip(simulate, dial, world, http):
    """Byte by byte, nothing lost and in order; a mail counts as pushed with its last byte."""
    simulator, wire = await listening(simulate, dial, world)
    simulator.faults.on(Kind.DRIP, endpoint="listen", value=0)
    first, second = world.deliver_many(2, "bob@gzdev.com")
    assert not first.pushed
    await wire.expect(http(RET))
    for mail in (first, second):
        _, body = await wire.answer()
        assert orjson.loads(body)["MailId"] == mail.mail_id
        assert mail.pushed


async def test_a_cut_drip_was_not_pushed(simulate, dial, world):
    """What was still dripping when the connection broke has not been handed over."""
    simulator, _ = await listening(simulate, dial, world)
    simulator.faults.on(Kind.DRIP, value=3600)
    mail = world.deliver_mail()
    simulator.cut()
    assert not mail.pushed


@pytest.mark.parametrize("defect", [*Defect])
async def test_malformed_pushes(simulate, dial, world, defect):
    """A spoilt push does not spoil the next; one that no reader can understand does not count as pushed."""
    simulator, wire = await listening(simulate, dial, world, framing=Framing.STREAM_CLOSE, separator="\n")
    simulator.faults.on(Kind.MALFORMED, value=defect, times=1)
    spoilt, whole = world.deliver_many(2, "bob@gzdev.com")
    simulator.cut(Cut.FIN)
    text = await wire.read_to_end()
    last = orjson.loads(text.rstrip(b"\n").rsplit(b"\n", 1)[1])
    assert last["MailId"] == whole.mail_id
    assert whole.pushed
    assert spoilt.pushed == defect.repairable


async def test_pushed_ver_ahead_and_behind(simulate, dial, world, http):
    """A pushed Ver need not be the one that ``user/list`` says."""
    simulator, wire = await listening(simulate, dial, world)
    await wire.expect(http(RET))
    for shift_ms in (1000, -1000):
        simulator.faults.on(Kind.VER_SHIFT, value=shift_ms)
        world.modify_user("bob@gzdev.com", tel=str(shift_ms))
        await wire.expect(http(b'{"Ver":"%d"}' % (world.ver + shift_ms)))


async def test_user_list_lags(simulate, dial, world):
    """Right after a push the list may still be empty; it is there a call later."""
    simulator = await simulate()
    wire = await dial(simulator)
    ver = world.ver
    world.modify_user("bob@gzdev.com", tel="1")
    simulator.faults.on(Kind.LIST_EMPTY, times=1)
    assert await wire.call(LIST, f"Ver={ver}") == {"Ver": ver, "Count": 0, "List": []}
    assert (await wire.call(LIST, f"Ver={ver}"))["Count"] == 1


@pytest.mark.parametrize(("value", "answer"), [(0, {"Ver": 0}), (17, {"Ver": 17}), (None, {})])
async def test_user_list_with_a_strange_ver(simulate, dial, world, value, answer):
    """Zero, too small, or none at all."""
    simulator = await simulate()
    wire = await dial(simulator)
    simulator.faults.on(Kind.LIST_VER, value=value)
    assert await wire.call(LIST, f"Ver={world.ver}") == {**answer, "Count": 0, "List": []}


@pytest.mark.parametrize(("code", "text"), [(1200, "invalid_token"), (1002, "temporarily_unavailable"), (10001, "")])
async def test_errcode_on_any_call(simulate, dial, world, code, text):
    """HTTP 200 with an errcode, for the named endpoints only and as often as was said."""
    simulator = await simulate()
    wire = await dial(simulator)
    simulator.faults.on(Kind.ERRCODE, value=code, endpoint="user/*", times=2)
    for _ in range(2):
        assert await wire.call(LIST, "Ver=0") == {"errcode": str(code), "error": text}
    assert (await wire.call(LIST, "Ver=0"))["Count"] == 4
    assert simulator.calls.count("user/list", str(code)) == 2


async def test_errcode_on_listening_again(simulate, dial, world, http):
    """A refused request ends listening there, and the mail after it is not pushed."""
    _, wire = await listening(simulate, dial, world)
    await wire.expect(http(RET))
    world.expire_tokens()
    await wire.ask_listen(world.ver)
    await wire.expect(http(b'{"errcode":"1200","error":"invalid_token"}'))
    assert not world.deliver_mail().pushed


async def test_errcode_in_mid_listen(simulate, dial, world, http):
    """An errcode document may come where a push is expected."""
    simulator, wire = await listening(simulate, dial, world)
    simulator.push_errcode(1200)
    await wire.expect(http(RET) + http(b'{"errcode":"1200","error":"invalid_token"}'))


async def test_any_bytes_can_be_pushed(simulate, dial, world, http):
    """A test can say anything in the provider's name."""
    simulator, wire = await listening(simulate, dial, world)
    simulator.push(b"\x00nonsense")
    await wire.expect(http(RET) + http(b"\x00nonsense"))


async def test_another_ret(simulate, dial, world, http):
    """Any Ret but 0 is a refusal, and nobody listens."""
    simulator = await simulate()
    simulator.faults.on(Kind.RET, value=7)
    wire = await dial(simulator)
    await wire.ask_listen(world.ver)
    await wire.expect(http(b'{"Ret":7}'))
    assert simulator.listeners.count == 0


@pytest.mark.parametrize("status", [500, 502])
async def test_http_status(simulate, dial, status):
    """A proxy's page of HTML instead of JSON."""
    simulator = await simulate()
    simulator.faults.on(Kind.HTTP_STATUS, value=status)
    wire = await dial(simulator)
    wire.ask(LIST, "Ver=0")
    head, body = await wire.answer()
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "text/html" in head
    assert body.startswith(b"<html>")


async def test_any_answer(simulate, dial):
    """The text that is given, to the letter; what was asked has not happened."""
    simulator = await simulate()
    simulator.faults.on(Kind.ANSWER, value='{"message":"受阻"}', times=1)
    wire = await dial(simulator)
    wire.ask(LIST, "Ver=0")
    head, body = await wire.answer()
    assert head.startswith("HTTP/1.1 200 ")
    assert body == '{"message":"受阻"}'.encode()
    with pytest.raises(ValueError, match="needs a text"):
        simulator.faults.on(Kind.ANSWER, value=7)


async def test_refused_connections(simulate, dial, world):
    """The system refuses new connections, the open ones stay, and the port is the same afterwards."""
    simulator, _ = await listening(simulate, dial, world)
    for _ in range(2):
        simulator.faults.on(Kind.REFUSE)
        with pytest.raises(ConnectionRefusedError):
            await dial(simulator)
        assert world.deliver_mail().pushed
        simulator.faults.off(Kind.REFUSE)
        assert (await (await dial(simulator)).call(LIST, "Ver=0"))["Count"] == 4


async def test_delay_keeps_the_answer_back(simulate, dial):
    """A delayed call is answered later; other calls are not delayed."""
    simulator = await simulate()
    slow, quick = await dial(simulator), await dial(simulator)
    simulator.faults.on(Kind.DELAY, endpoint="user/list", value=0.05)
    slow.ask(LIST, "Ver=0")
    await simulator.faults.wait(Kind.DELAY)
    assert (await quick.call("/openapi/user/get", "alias=bob@gzdev.com"))["Name"] == "Bob"
    assert simulator.calls.count("user/list") == 0
    await slow.answer()
    assert simulator.calls.count("user/list", "ok") == 1


async def test_a_listener_that_does_not_read_is_cut(simulate, dial, world):
    """What cannot be sent is bounded: beyond it the connection breaks and the listener is gone."""
    simulator, wire = await listening(simulate, dial, world, unsent_limit_bytes=100_000)
    wire.writer.transport.pause_reading()
    for _ in range(200):
        world.deliver_many(1000)
        if not next(iter(simulator.listeners)).connection.is_open:
            break
    await simulator.listeners.wait(0)


def test_chance_is_seeded():
    """A fault that strikes by chance strikes at the same calls in every run."""

    def strikes(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.on(Kind.ERRCODE, value=1002, chance=0.3)
        return [faults.strike(Kind.ERRCODE, "listen") is not None for _ in range(200)]

    assert strikes(1) == strikes(1)
    assert strikes(1) != strikes(2)
    assert 20 < sum(strikes(1)) < 120


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Kind.ERRCODE, None), (Kind.ERRCODE, "1200"), (Kind.DRIP, "slow"), (Kind.MALFORMED, "ugly"), (Kind.RET, None)],
)
def test_a_value_that_does_not_fit_is_refused_at_once(kind, value):
    """Not later, when the fault strikes in the middle of something else."""
    faults = Faults()
    with pytest.raises(ValueError, match=str(value)):
        faults.on(kind, value=value)
    assert not faults.active


async def test_any_defect(simulate, dial, world):
    """Malformed without a value is any defect, the same ones in every run."""
    simulator, _ = await listening(simulate, dial, world)
    simulator.faults.on(Kind.MALFORMED)
    pushed = [mail.pushed for mail in world.deliver_many(30)]
    assert True in pushed
    assert False in pushed


def test_faults_are_told_apart_by_endpoint():
    """One kind may be on for several endpoints; each can be switched off, or ended, alone."""
    faults = Faults()
    token = faults.on(Kind.ERRCODE, endpoint="token", value=1002)
    faults.on(Kind.ERRCODE, endpoint="user/*", value=1200)
    assert faults.strike(Kind.ERRCODE, "listen") is None
    strike = faults.strike(Kind.ERRCODE, "user/get")
    assert strike is not None
    assert strike.value == 1200
    faults.off(Kind.ERRCODE, endpoint="user/*")
    assert list(faults.active) == [token]
    faults.end(token)
    faults.end(token)
    assert not faults.has(Kind.ERRCODE)
    with pytest.raises(ValueError, match="no-such-fault"):
        faults.on("no-such-fault")
    for never in ({"times": 0}, {"chance": 0.0}, {"chance": 1.5}):
        with pytest.raises(ValueError, match="at least once"):
            faults.on(Kind.DRIP, **never)


async def test_waiting_is_bounded(simulate):
    """Who waits for what does not happen gets a TimeoutError, not a hanging test."""
    simulator = await simulate()
    for wait in (
        simulator.listeners.wait(timeout_s=0.01),
        simulator.calls.wait("token", timeout_s=0.01),
        simulator.faults.wait(Kind.DRIP, timeout_s=0.01),
    ):
        with pytest.raises(TimeoutError):
            await wait


async def test_stop_ends_everything(simulate, dial, world):
    """After stop every connection has ended and the port is free; stopping again changes nothing."""
    simulator, wire = await listening(simulate, dial, world)
    port = simulator.port
    await simulator.stop()
    await simulator.stop()
    await wire.read_to_end()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("simulator")]
    with contextlib.closing(await asyncio.start_server(lambda *_: None, "127.0.0.1", port)):
        pass
    world.deliver_mail()
