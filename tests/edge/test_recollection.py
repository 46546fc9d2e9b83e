"""What an edge tells a worker that begins to lead: what it was given, of the newest generation that it heard of."""

from __future__ import annotations

from bridge.edge.recollection import _MOST, Recollection
from bridge.edge.tail import Tail
from bridge.events import Position
from bridge.journal.inquiry import Memory
from bridge.journal.reader import Opened, UpstreamStatus

from .test_hub import NoLoader

UPSTREAM = UpstreamStatus("connected", 0, "")


def opened(mailbox: str, epoch: str, seq: int, generation: int, *, ahead: bool = False) -> Opened:
    top = Position(epoch, seq)
    return Opened(mailbox, top, None, None, "epoch", [], True, UPSTREAM, generation=generation, ahead=ahead)


def tail(mailbox: str = "b@x.cn", epoch: str = "aaaaaaaa", seq: int = 3, generation: int = 5) -> Tail:
    made = Tail(mailbox, NoLoader())
    made.adopt(opened(mailbox, epoch, seq, generation))
    return made


def test_a_position_that_redis_lost_is_what_is_remembered() -> None:
    """The mailbox began anew on its own account meanwhile; what it was given before proves that Redis went back."""
    recollection, bob = Recollection(), tail()
    recollection.heard_of([bob])
    bob.repair(opened("b@x.cn", "bbbbbbbb", 0, 5, ahead=True), [])
    assert recollection.tell() == Memory(5, 0, {"b@x.cn": ("aaaaaaaa", 3)})
    bob.repair(opened("b@x.cn", "bbbbbbbb", 2, 5), [])
    assert recollection.tell().positions == {"b@x.cn": ("aaaaaaaa", 3)}
    bob.repair(opened("b@x.cn", "cccccccc", 1, 6), [])
    recollection.heard_of([bob])
    assert recollection.tell() == Memory(6, 0, {"b@x.cn": ("cccccccc", 1)})


def test_of_a_generation_that_is_over_nothing_is_told() -> None:
    """Neither positions nor commits: each generation counts for itself."""
    recollection = Recollection()
    recollection.heard_of([tail()])
    recollection.counted(40, 5)
    assert recollection.tell() == Memory(5, 40, {"b@x.cn": ("aaaaaaaa", 3)})
    recollection.heard_of([tail("a@x.cn", "dddddddd", 1, 6)])
    assert recollection.tell() == Memory(6, 0, {"a@x.cn": ("dddddddd", 1)})
    recollection.counted(41, 5)
    assert recollection.tell().commits == 0
    recollection.counted(7, 8)
    assert recollection.tell() == Memory(8, 7, {})


def test_commits_never_shrink_within_a_generation() -> None:
    """A server that went back says fewer."""
    recollection = Recollection()
    recollection.counted(9, 5)
    recollection.counted(4, 5)
    assert recollection.tell().commits == 9
    recollection.counted(12, 5)
    assert recollection.tell().commits == 12


def test_the_streams_heard_of_last_are_kept_and_no_more() -> None:
    """A bounded number; whoever was heard of again is among the last, and one that nobody looks at is let go."""
    recollection, first = Recollection(), tail("first@x.cn")
    recollection.heard_of([first])
    for number in range(_MOST - 1):
        recollection.heard_of([tail(f"u{number}@x.cn")])
    recollection.heard_of([first])
    last = tail("last@x.cn")
    recollection.heard_of([last])
    told = recollection.tell().positions
    assert len(told) == _MOST
    assert {"first@x.cn", "last@x.cn"} < told.keys()
    assert "u0@x.cn" not in told
    recollection.dropped(last)
    assert "last@x.cn" not in recollection.tell().positions


def test_a_tail_that_was_not_answered_yet_tells_nothing() -> None:
    """It has no position."""
    recollection = Recollection()
    recollection.heard_of([Tail("b@x.cn", NoLoader())])
    assert recollection.tell() == Memory()
