"""The access list that comes with the bridge, read as what each user must be able to do (pure).

Every token of the file is put to the test by at least one command: each command of a rule on one of its keys, and each
key and channel of a rule by one of its commands. So a right that is missing on the server is found, and named by the
line that gives it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_PLACES: Final = (_HERE / "users.acl", _HERE.parents[1] / "deploy" / "redis" / "users.acl")
"""Beside this file in a package, in its own place in a checkout."""

_KEY, _CHANNEL = "\0key", "\0channel"
_ARGUMENTS: Final[dict[str, str]] = {
    **dict.fromkeys(("time", "info", "ping", "role", "multi", "exec", "discard"), ""),
    **dict.fromkeys(("cluster|slots", "cluster|nodes", "config|rewrite", "script|kill"), ""),
    "select": "0",
    "script|load": "x",
    "psync": "? -1",
    "replconf": "ack 0",
    **dict.fromkeys(("slaveof", "replicaof"), "no one"),
    "client|setname": "x",
    "client|kill": "id 1",
    **dict.fromkeys(("subscribe", "unsubscribe", "psubscribe", "punsubscribe"), _CHANNEL),
    **dict.fromkeys(("ssubscribe", "sunsubscribe"), _CHANNEL),
    **dict.fromkeys(("publish", "spublish"), f"{_CHANNEL} x"),
    "evalsha": f"{'0' * 40} 1 {_KEY}",
    **dict.fromkeys(("get", "exists", "del", "getdel", "pttl"), _KEY),
    **dict.fromkeys(("set", "sadd", "lpush", "rpush", "sismember", "smismember", "zscore"), f"{_KEY} x"),
    **dict.fromkeys(("hget", "hmget", "hexists"), f"{_KEY} x"),
    **dict.fromkeys(("pexpire", "expire", "incrby"), f"{_KEY} 1"),
    **dict.fromkeys(("ltrim", "zremrangebyscore"), f"{_KEY} 0 1"),
    "hset": f"{_KEY} x x",
    "zadd": f"{_KEY} 1 x",
    "lrem": f"{_KEY} 0 x",
    "xadd": f"{_KEY} * x x",
    "xtrim": f"{_KEY} maxlen 1",
    "xrange": f"{_KEY} - +",
    "xrevrange": f"{_KEY} + -",
    "xgroup|create": f"{_KEY} x $",
    "xgroup|setid": f"{_KEY} x $",
    "xgroup|delconsumer": f"{_KEY} x x",
    "xreadgroup": f"group x x streams {_KEY} >",
    "xack": f"{_KEY} x 1-1",
    "xclaim": f"{_KEY} x x 0 1-1",
    "xautoclaim": f"{_KEY} x x 0 0",
    "xpending": f"{_KEY} x",
}
_OF_CATEGORIES: Final = {"read": "get", "write": "set", "connection": "ping"}
_WRITES: Final = ("set", "hset", "del", "sadd", "zadd", "xadd", "lpush", "rpush", "evalsha", "incrby", "xgroup|create")
_LISTENS: Final = (
    *("subscribe", "unsubscribe", "psubscribe", "punsubscribe", "publish"),
    *("ssubscribe", "sunsubscribe", "spublish"),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """A command that a user must be allowed; ``token`` is what gives it, on ``line`` of the file."""

    user: str
    command: tuple[str, ...]
    token: str
    line: int


@dataclass(slots=True)
class _Rule:
    """What stands between two parentheses, or outside of all."""

    commands: list[tuple[str, int]] = field(default_factory=list)
    keys: list[tuple[str, int]] = field(default_factory=list)
    channels: list[tuple[str, int]] = field(default_factory=list)


def shipped() -> str:
    """The text of the file that comes with this release.

    Raises:
        OSError: it is not there.
    """
    return next((place for place in _PLACES if place.exists()), _PLACES[0]).read_text("utf-8")


def trials(text: str, namespace: str) -> list[Trial]:
    """What every user of the file must be able to do, apart from those that may do everything."""
    text = text.replace("{exmail}", f"{{{namespace}}}").replace("&exmail:", f"&{namespace}:")
    found: list[Trial] = []
    for user, tokens in _users(text):
        if "+@all" not in [token for token, _ in tokens]:
            for rule in _rules(tokens):
                found += _of_rule(user, rule)
    return found


def _users(text: str) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    user, tokens = "", list[tuple[str, int]]()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if line.startswith("#") or not words:
            continue
        if words[0] == "user":
            if user:
                yield user, tokens
            user, tokens, words = words[1], [], words[2:]
        tokens += [(word, number) for word in re.findall(r"[()]|[^\s()]+", " ".join(words))]
    if user:
        yield user, tokens


def _rules(tokens: Sequence[tuple[str, int]]) -> list[_Rule]:
    rules = [_Rule()]
    rule = rules[0]
    for word, line in tokens:
        if word == "(":
            rule = _Rule()
            rules.append(rule)
        elif word == ")":
            rule = rules[0]
        elif word.startswith("+"):
            rule.commands.append((word, line))
        elif word.startswith(("~", "%")):
            rule.keys.append((word, line))
        elif word.startswith("&"):
            rule.channels.append((word, line))
        elif word == "allchannels":
            rule.channels.append(("&__sentinel__:hello", line))
    return rules


def _of_rule(user: str, rule: _Rule) -> Iterator[Trial]:
    names = [(_name(token), token, line) for token, line in rule.commands]
    with_key = [name for name, _, _ in names if _KEY in _ARGUMENTS[name]]
    listening = [name for name, _, _ in names if name in _LISTENS]
    for name, token, line in names:
        key = next((key for key, _ in rule.keys if _fits(name, key)), "")
        channel = rule.channels[0][0] if rule.channels else ""
        if (_KEY in _ARGUMENTS[name] and not key) or (_CHANNEL in _ARGUMENTS[name] and not channel):
            continue
        yield Trial(user, _command(name, key, channel), token, line)
    for token, line in rule.keys:
        for name in with_key:
            if _fits(name, token):
                yield Trial(user, _command(name, token, ""), token, line)
                break
    for token, line in rule.channels:
        if listening:
            yield Trial(user, _command(listening[0], "", token), token, line)


def _name(token: str) -> str:
    word = token[1:]
    return _OF_CATEGORIES.get(word[1:], "ping") if word.startswith("@") else word


def _fits(name: str, key: str) -> bool:
    """Whether a command may be tried on a key of this kind: one that may only be read is not written, and the like."""
    if key.startswith("%R"):
        return name not in _WRITES
    if key.startswith("%W"):
        return name in _ARGUMENTS and name not in ("get", "hget", "hmget", "exists", "pttl", "getdel")
    return True


def _command(name: str, key: str, channel: str) -> tuple[str, ...]:
    plain_key = re.sub(r"^%[RW]*~|^~", "", key).replace("*", "x")
    # Who may follow a pattern may follow the very one that the rule names.
    plain_channel = channel[1:] if name.startswith("p") and name != "publish" else channel[1:].replace("*", "x")
    words = [*name.split("|"), *_ARGUMENTS[name].split()]
    return tuple({_KEY: plain_key, _CHANNEL: plain_channel}.get(word, word) for word in words)
