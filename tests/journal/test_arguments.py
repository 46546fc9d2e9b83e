"""What a verb of the script reads, and what it is given: by the same names, each read in one place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import pytest

from bridge.journal.calls import Advance, Bury, Call, Carry, Count, Forget, RecordMail, Retention, Scrub
from bridge.journal.claim import Claim
from bridge.journal.runs import in_runs, record_arguments
from bridge.journal.script import SOURCE

from .conftest import BOB, KEYS, announcement, count, mail, member_event, poll

CODE: Final = "\n".join(line.split("--")[0] for line in SOURCE.decode().splitlines())
READ: Final = re.compile(
    r"local ([\w,\s]+?) =\s+unpack\(ARGV, (\d+), (\d+)\)(?:\s+local more(?:, more_keys)? = (\d+))?"
)
OWN: Final = 6
"""A numbered verb's own arguments begin here."""

DEAD = RecordMail(mail("Z1").event, "Z1", 1, count(1).event, dead="1-1")
CALLS: Final[Sequence[Call]] = (
    mail("Z1"),
    DEAD,
    count(3),
    poll(3, 0),
    poll(3, 0, sure=True),
    announcement(),
    announcement(state="connected", gap="+1"),
    Forget(BOB),
    Forget(BOB, anew=True),
    Carry(BOB, "ann@gzdev.com"),
    Scrub("events", [b"1-1"]),
    Bury("shape", 9, b"document", "whole"),
    Advance(None, 6),
    Advance(6, 7, doubted=[BOB], trusted=[BOB]),
    Advance(
        6, None, into="next", stage="{}", profiles={BOB: b"{}"}, slaves={"b@x.cn": BOB}, events=[member_event(BOB)]
    ),
)


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


READ_IN_A_RUN: Final = re.compile(r"local ([\w,\s]+?) =\s+unpack\(ARGV, more, more \+ (\d+)\)\s+more = more \+ (\d+)\n")


def reading_in_a_run(kind: str) -> list[str]:
    """The names of what a kind of call has in a run, in its first line."""
    [begins] = re.finditer(rf"function apply\.{kind}\(\)\n", CODE)
    read = READ_IN_A_RUN.match(CODE[begins.end() :].lstrip())
    assert read is not None, kind
    assert len(names(read[1])) == int(read[2]) + 1 == int(read[3]), kind
    return names(read[1])


def reading(verb: str) -> re.Match[str]:
    """Where a verb gives its arguments names: its first line."""
    [begins] = re.finditer(rf"if verb == '{verb}' then\n", CODE)
    read = READ.match(CODE[begins.end() :].lstrip())
    assert read is not None, verb
    return read


def test_arguments_are_read_by_name_alone() -> None:
    """No number but where names are given to the arguments, and as many names as numbers; lists begin behind them."""
    assert re.findall(r"ARGV\[\d+\]", CODE) == ["ARGV[1]"]
    found = list(READ.finditer(CODE))
    assert len(found) == len(re.findall(r"unpack\(ARGV, \d", CODE))
    for read in found:
        first, last = int(read[2]), int(read[3])
        assert len(names(read[1])) == last - first + 1, read[0]
        assert read[4] in (None, str(last + 1)), read[0]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_a_call_gives_what_its_verb_reads(call: Call) -> None:
    """The same names in the same order; what stands behind them only where the verb takes a list."""
    _, verb, arguments, more = call.render(KEYS, Retention())
    if isinstance(call, Count):
        assert (list(arguments), list(more)) == (reading_in_a_run(verb), [])
        return
    read = reading(verb)
    assert (list(arguments), int(read[2])) == (names(read[1]), OWN)
    assert read[4] is not None or not more


def test_a_run_gives_what_its_calls_share() -> None:
    """The same names in the same order, and the calls behind them; three keys for each call, behind the ten."""
    read = reading("record")
    shared = record_arguments(KEYS, Retention())
    assert (list(shared), int(read[2])) == (names(read[1]), OWN)
    [run] = in_runs([mail("Z1"), count(3)], 7, KEYS, Retention(), "1:a", "", unsure=False)
    keys, arguments = run.call
    assert tuple(arguments[:3]) == ("record", "1:a", 7)
    assert arguments[OWN - 1 + len(shared)] == "mail"
    assert read[4] == str(OWN + len(shared))
    [more_keys] = re.findall(r"local more, more_keys = \d+, (\d+)\n", CODE)
    assert keys[int(more_keys) - 1 :] == [KEYS.state(BOB), KEYS.log(BOB), KEYS.seen(BOB)] * 2


def test_a_claim_gives_what_its_verb_reads() -> None:
    """The same names in the same order, behind the verb."""
    read = reading("claim")
    assert ([each.name for each in fields(Claim)], int(read[2])) == (names(read[1]), 2)


def test_every_verb_is_asked_for() -> None:
    """The calls above are all that there are behind the place where the call number is looked at."""
    _, numbered = CODE.split("local lease, call_number,")
    alone = {call.render(KEYS, Retention())[1] for call in CALLS if not isinstance(call, Count)}
    assert {*alone, "record"} == set(re.findall(r"if verb == '(\w+)' then\n", numbered))
    together = {call.render(KEYS, Retention())[1] for call in CALLS if isinstance(call, Count)}
    assert together == set(re.findall(r"function apply\.(\w+)\(\)\n", numbered))
