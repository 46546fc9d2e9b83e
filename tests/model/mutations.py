"""Ways to spoil the script, each of which the explorer must find: so the model is known to be able to fail."""

from __future__ import annotations

from typing import Final

MUTATIONS: Final[dict[str, tuple[str, str, str]]] = {
    "anybody may write": ("pause and cut", "if held[1] ~= ARGV[2] then return {0, 'lease'} end", ""),
    "a call that was applied is applied again": ("crash and cut", "if call <= commits then return {5} end", ""),
    "numbers that Redis lost are not missed": (
        "failover of an idle leader",
        "if call > commits + 1 then return {0, 'back', commits} end",
        "",
    ),
    "another server begins no generation": (
        "failover of an idle leader",
        "local back = lost or (moved and not (mine and same))",
        "local back = lost",
    ),
    "a lease that ran out is as good as one that is held": ("failover and pause", "not (mine and same)", "not same"),
    "a renewal makes any server the recorded one": (
        "failover and pause",
        "if commits < tonumber(ARGV[6]) then return {0, 'back'} end",
        "",
    ),
    "a renewal does not look at the lease": (
        "failover and pause",
        "if redis.call('GET', KEYS[1]) ~= ARGV[2] then return {0, 'lease'} end\n  local commits, server",
        "local commits, server",
    ),
    "a leader of a lost generation is not noticed": (
        "failover and two pauses",
        "local another = told and not same and (fence == told_fence or generation > told_generation)",
        "local another = false",
    ),
    "what was sent to a server that is gone is forgotten": (
        "published, lost and sent again",
        "or (same and moved and commits < tonumber(ARGV[8]))",
        "",
    ),
    "a call is as good on one server as on another": (
        "published, lost and sent again",
        "if #ARGV[4] > 8 and string.sub(ARGV[4], 10) ~= run_id() then return {0, 'back', commits} end",
        "",
    ),
    "only the data say which server it was": (
        "an old server again, and nobody to ask",
        "return recorded ~= server or (remembered ~= '' and remembered ~= server)",
        "return recorded ~= server",
    ),
    "nobody is believed who remembers more": (
        "an old server again",
        "(remembered and remembered >= generation)",
        "false",
    ),
    "a position that is ahead proves nothing": (
        "an old server again",
        "s[1] ~= generation or s[2] ~= ARGV[5] or tonumber(s[3]) < tonumber(ARGV[6])",
        "false",
    ),
    "a clock that is behind numbers generations": (
        "clocks that are behind",
        "math.max(generation, told_generation, remembered or 0) + 1",
        "0",
    ),
    "a leader is known by his fence": (
        "two servers that went apart, and a lag",
        "leader == ARGV[4] .. ':' .. ARGV[7] .. ':' .. ARGV[2]",
        "fence == told_fence",
    ),
    "the fence stays": ("pause and cut", "if not mine or back then fence =", "if false then fence ="),
    "a mailbox outlives its generation": (
        "failover of an idle leader",
        "if f[2] and f[1] == generation then return s end",
        "if f[2] then return s end",
    ),
    "the lease is anybody's": ("failover of an idle leader", "if holder and not mine then", "if false then"),
    "the cursor is not compared": ("directory and failover", "if ver ~= ARGV[5] then return {6, ver} end", ""),
    "the cursor moves with the first piece": (
        "directory and failover",
        "if ARGV[6] ~= '' then redis.call('SET', KEYS[7], ARGV[6]) end",
        "redis.call('INCR', KEYS[7])",
    ),
    "the cursor moves without the data": (
        "directory and failover",
        "each(1, 2, function(alias, profile) redis.call('HSET', KEYS[8], alias, profile) end)",
        "",
    ),
    "a write is not counted": (
        "directory and failover",
        "local ver = redis.call('GET', KEYS[7]) or ''\n  redis.call('SET', KEYS[2], ARGV[3])",
        "local ver = redis.call('GET', KEYS[7]) or ''",
    ),
}
"""What is wrong then → the bounds that show it, a piece of the script, and what stands in its place."""


def spoilt(source: bytes, name: str) -> bytes:
    """The script with one mutation.

    Raises:
        ValueError: the piece is not there, or not once: the mutation must follow the script.
    """
    _, old, new = MUTATIONS[name]
    if source.count(old.encode()) != 1:
        raise ValueError(f"mutation {name!r}: its piece is there {source.count(old.encode())} times")
    return source.replace(old.encode(), new.encode())
