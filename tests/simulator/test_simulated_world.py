"""The world: the truth that other tests compare with."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest

from bridge.simulator import Action, Mail, UnreadCount, World
from bridge.simulator.world.world import Change

NOW_S = 1386593148.546


def lives(seed: int, now_s: float = NOW_S) -> tuple[object, ...]:
    """Everything that happens in a short life of a world."""
    world = World(seed, users=30, now=lambda: now_s)
    mails = world.deliver_many(200)
    world.add_user()
    facts = [(mail.mailbox, mail.mail_id, mail.sender, mail.subject, mail.summary) for mail in mails]
    return facts, dict(world.accounts), dict(world.unread), list(world.directory), world.tokens.issue()


def test_same_seed_and_clock_same_world():
    """A world is repeatable letter by letter; another seed is another world."""
    assert lives(3) == lives(3)
    assert lives(3) != lives(4)


def test_restarted_world_repeats_no_mail_id_and_no_token():
    """A bridge that remembers MailIds or a token from the run before must not take the new ones for the old."""
    mails, *_, token = lives(3)
    later_mails, *_, later_token = lives(3, NOW_S + 1)
    assert not {mail[1] for mail in mails} & {mail[1] for mail in later_mails}  # type: ignore[attr-defined]
    assert token != later_token
    assert lives(3)[1] == lives(3, NOW_S + 1)[1]


def test_mail_ids_are_unique():
    """A MailId names one mail."""
    assert len({mail.mail_id for mail in World(1).deliver_many(5000)}) == 5000


def test_ver_is_a_growing_millisecond_stamp():
    """Ver has 13 digits and grows strictly, also when the clock stands still or goes back."""
    clock = [NOW_S]
    world = World(1, users=3, now=lambda: clock[0])
    assert world.ver == 1386593148546
    for step_s in (0.0, -60.0, 0.0, 5.0):
        clock[0] += step_s
        world.modify_user("bob@gzdev.com", tel="1")
    vers = [entry.ver for entry in world.directory]
    assert vers == sorted(set(vers))
    assert all(len(str(ver)) == 13 for ver in vers)
    assert world.ver == vers[-1]


def test_delivering_and_reading_move_the_count():
    """A mail raises its mailbox's count by one, reading lowers it, never below zero and never without a reason."""
    world, told = World(1, users=1), []
    before = world.unread["bob@gzdev.com"]
    world.watch(told.extend)
    mail = world.deliver_mail("bob@gzdev.com", subject="s")
    assert (mail.unread, mail.subject, mail.pushed) == (before + 1, "s", False)
    assert world.read("bob@gzdev.com") == before
    world.read_all("bob@gzdev.com")
    world.read_all("bob@gzdev.com")
    assert [type(change) for change in told] == [Mail, UnreadCount, UnreadCount]
    assert told[-1] == UnreadCount("bob@gzdev.com", 0)


def test_many_mails_are_told_at_once():
    """Listeners can be told of a burst in one write."""
    world = World(1)
    batches: list[Sequence[Change]] = []
    stop = world.watch(batches.append)
    world.deliver_many(100)
    stop()
    world.deliver_many(1)
    assert [len(batch) for batch in batches] == [100]
    assert len(world.mails) == 101


def test_two_recipients_of_one_mail():
    """One MailId may come to several mailboxes; each is a mail of its own."""
    world = World(1)
    first = world.deliver_mail()
    second = world.deliver_mail("bob@gzdev.com", mail_id=first.mail_id, receiver="all@gzdev.com")
    assert second.mail_id == first.mail_id
    assert world.mails_of("bob@gzdev.com")[-1] is second


def test_directory_history():
    """Each change of an account is one line of the history, and a deleted account is gone."""
    world = World(1, users=2)
    ver = world.ver
    world.add_user("new@gzdev.com", name="New", slaves=("n@gzdev.com",))
    world.modify_user("new@gzdev.com", mobile="13800138000")
    world.delete_user("new@gzdev.com")
    changes = [(entry.action, entry.alias) for entry in world.directory_since(ver)]
    assert changes == [(action, "new@gzdev.com") for action in (Action.ADD, Action.MOD, Action.DEL)]
    assert world.account("new@gzdev.com") is None
    with pytest.raises(KeyError):
        world.deliver_mail("new@gzdev.com")
    with pytest.raises(ValueError, match="exists"):
        world.add_user("bob@gzdev.com")


def test_truth_is_json():
    """Another process reads the truth: mails by mailbox with ids and pushed flags, counts, directory, Ver."""
    world = World(1, users=2)
    mail = world.deliver_mail("bob@gzdev.com")
    truth = orjson.loads(orjson.dumps(world.truth()))
    assert truth["ver"] == world.ver
    assert truth["unread"] == dict(world.unread)
    assert truth["mails"]["bob@gzdev.com"][0]["mail_id"] == mail.mail_id
    assert truth["mails"]["bob@gzdev.com"][0]["pushed"] is False
    assert [account["alias"] for account in truth["accounts"]] == list(world.accounts)
    assert truth["directory"][-1]["ver"] == world.ver


def test_memory_can_be_bounded():
    """A long bench keeps the newest mails only; counts stay true."""
    world = World(1, users=1, mails_kept=10)
    before = world.unread["bob@gzdev.com"]
    mails = world.deliver_many(25)
    assert list(world.mails) == mails[-10:]
    assert world.unread["bob@gzdev.com"] == before + 25


def test_letters_are_chinese_english_and_sometimes_hostile():
    """Traffic looks real, and holds what breaks careless pages: markup, emoji, right-to-left, empty, very long."""
    subjects = {mail.subject for mail in World(1).deliver_many(2000)}
    assert any("通知" in subject for subject in subjects)
    assert any(subject.startswith("Re: ") for subject in subjects)
    assert "<img src=x onerror=alert(1)>" in subjects
    assert "" in subjects
    assert any("\u202e" in subject for subject in subjects)
    assert any(len(subject) > 100 for subject in subjects)


def test_a_world_needs_an_account():
    """Without an account no mail could come."""
    with pytest.raises(ValueError, match="at least one"):
        World(1, users=0)
    with pytest.raises(ValueError, match="at least one"):
        World(1, users=1).delete_user("bob@gzdev.com")
