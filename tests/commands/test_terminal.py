"""What foreign text may do to the terminal of whoever reads it: nothing."""

from __future__ import annotations

import json
import unicodedata

import pytest

from bridge.commands.leader import shown, shown_json
from bridge.events import to_json
from tests.commands.test_directory_command import run
from tests.commands.test_events_command import line, program
from tests.support.stage import KEYS, leading_writer, mail

HOSTILE = "CSI \x9b31m, bidi \u202eexe\u202c, invisible \u200b\u2066, tag \U000e0041, end \u2028 of line \x85"
"""C1 controls and marks that turn the direction of writing, as a stranger puts them into a subject."""


def acts(text: str) -> list[str]:
    """The characters with which a text does more to a terminal than stand there; its line ends are ours."""
    return [each for each in text if unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp") and each != "\n"]


@pytest.mark.parametrize("value", [HOSTILE, {"名\u202e": ["\x7f", "研发"]}, "\\\u202e", '"\x9b', "平常", "👍"])
def test_escaped_json_is_the_same_value(value: object):
    """Only its spelling is another, wherever the character stands and whatever is before it; plain text stays."""
    written = shown_json(to_json(value))
    assert json.loads(written) == value
    assert acts(written.decode()) == []
    assert (written == to_json(value)) == (value in ("平常", "👍"))


def test_text_has_a_mark_for_what_it_may_not_show():
    """For people, where nothing reads the line again."""
    assert acts(shown(HOSTILE)) == []


async def test_events_do_nothing_to_a_terminal(redis_url: str):
    """The command ``events`` prints the event that Redis holds, and none of its characters acts."""
    async with leading_writer(redis_url) as (writer, redis):
        await writer.commit([mail("1", subject=HOSTILE)])
        [(_, kept)] = await redis.xrange(KEYS.events)
        async with program("--since", "0-0", BRIDGE_REDIS_URL=redis_url) as following:
            printed = await line(following.stdout)
    assert acts(kept[b"event"].decode())
    assert acts(printed) == []
    assert json.loads(printed) == json.loads(kept[b"event"])


async def test_profiles_do_nothing_to_a_terminal(redis_url: str):
    """Nor does a name, as JSON or not."""
    profile = {"alias": "bob@gzdev.com", "name": HOSTILE}
    async with leading_writer(redis_url) as (_, redis):
        await redis.hset(KEYS.directory, "bob@gzdev.com", to_json(profile))
        for words in ((), ("--json",)):
            code, out, _ = await run(redis_url, "directory", "list", *words)
            assert (code, acts(out.replace("\t", ""))) == (0, [])
            if words:
                assert json.loads(out) == profile


@pytest.mark.parametrize("words", [("directory", "list"), ("why", "bob@gzdev.com"), ("dead",), ("events",)])
async def test_no_command_reads_a_newer_layout(words: tuple[str, ...], redis_url: str):
    """What a newer program wrote may mean other things: it is refused and said, not read."""
    async with leading_writer(redis_url) as (_, redis):
        await redis.set(KEYS.format, 99)
        code, out, err = await run(redis_url, *words)
        assert (code == 0, out) == (False, "")
        assert "the data have layout 99, this program knows 1" in err
        await redis.set(KEYS.format, "odd")
        code, _, err = await run(redis_url, *words)
        assert code != 0
        assert "holds no number" in err
        assert "Traceback" not in err
