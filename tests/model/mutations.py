"""Ways to spoil the script, each of which the explorer must find: so the model is known to be able to fail."""

from __future__ import annotations

from typing import Final

MUTATIONS: Final[dict[str, tuple[str, str, str]]] = {
    "anybody may write": ("pause and cut", "if stored_lease ~= lease then return {0, 'lease'} end", ""),
    "a call that was applied is applied again": (
        "directory and cut",
        "if call <= commits and verb ~= 'record' then return {5} end",
        "",
    ),
    "a mail that was applied is applied again": (
        "crash and cut",
        "is_again = call <= commits",
        "is_again = false",
    ),
    "a run is not counted": (
        "two in a run, crash and cut",
        "if used > commits then redis.call('SET', KEYS[2], whole(used)) end",
        "if used > commits then redis.call('SET', KEYS[2], whole(call - 2)) end",
    ),
    "numbers that Redis lost are not missed": (
        "failover of an idle leader",
        "if call > commits + 1 then return {0, 'back', commits} end",
        "",
    ),
    "another server begins no generation": (
        "failover of an idle leader",
        "local back = lost or (moved and not (same and (mine or kept)))",
        "local back = lost",
    ),
    "a lease that ran out is as good as one that is held": (
        "failover and pause",
        "not (same and (mine or kept))",
        "not same",
    ),
    "a renewal makes any server the recorded one": (
        "failover and pause",
        "if commits < tonumber(sent) then return {0, 'back'} end",
        "",
    ),
    "a renewal does not look at the lease": (
        "failover and pause",
        "if redis.call('GET', KEYS[1]) ~= lease then return {0, 'lease'} end\n  local commits, server",
        "local commits, server",
    ),
    "a leader of a lost generation is not noticed": (
        "failover and two pauses",
        "local another = confirmed and not same and (fence == last_fence or generation > last_generation)",
        "local another = false",
    ),
    "what was sent to a server that is gone is forgotten": (
        "published, lost and sent again",
        "or (same and moved and commits < tonumber(sent))",
        "",
    ),
    "a call is as good on one server as on another": (
        "published, lost and sent again",
        "if server ~= '' and server ~= run_id() then return {0, 'back', commits} end",
        "",
    ),
    "only the data say which server it was": (
        "an old server again, and nobody to ask",
        "return recorded ~= server or (remembered ~= '' and remembered ~= server)",
        "return recorded ~= server",
    ),
    "any generation counts as one that began later": (
        "an old server again, and nobody to ask",
        "local begun = generation > tonumber(seen_generation)",
        "local begun = true",
    ),
    "nobody is believed who remembers more": (
        "an old server again",
        "(proven and proven >= generation)",
        "false",
    ),
    "a position that is ahead proves nothing": (
        "an old server again",
        "of ~= generation or epoch ~= known_epoch or (tonumber(seq) or 0) < tonumber(known_seq)",
        "false",
    ),
    "a clock that is behind numbers generations": (
        "clocks that are behind",
        "math.max(generation, last_generation, proven or 0) + 1",
        "0",
    ),
    "a leader is known by his fence": (
        "pause, failover and a lag",
        "leader == known_fence .. ':' .. known_generation .. ':' .. token",
        "fence == last_fence",
    ),
    "whoever led last goes on": (
        "a restart after another has led",
        "not (same and (mine or kept))",
        "not same",
    ),
    "whoever saw the end of the server goes on": (
        "a restart that cost an answer",
        "or (same and moved and commits < tonumber(sent))",
        "",
    ),
    "whoever remembers nothing goes on": (
        "a restart of Redis and of a worker",
        "not (same and (mine or kept))",
        "(confirmed and not (same and (mine or kept)))",
    ),
    "nobody goes on who saw the end of the server": (
        "a restart for longer than the lease",
        "same and (mine or kept)",
        "same and mine",
    ),
    "a clock that ran ahead ended no lease": (
        "a restart, and a clock that jumped",
        "now_ms() <= granted + since + lease_ms / 3",
        "true",
    ),
    "any process of the server is the next": (
        "two restarts, and another that led",
        "unwatched <= lease_ms / 2 + 1000",
        "true",
    ),
    "a promoted replica is the server": ("a replica in its place", " and is_single()\n", "\n"),
    "the fence stays": ("pause and cut", "if not mine or back then fence =", "if false then fence ="),
    "a mailbox outlives its generation": (
        "failover of an idle leader",
        "if epoch and of == generation then return s end",
        "if epoch then return s end",
    ),
    "the lease is anybody's": ("failover of an idle leader", "if holder and not mine then", "if false then"),
    "the cursor is not compared": ("directory and failover", "if ver ~= expected_ver then return {6, ver} end", ""),
    "the cursor moves with the first piece": (
        "directory and failover",
        "if to_ver ~= '' then redis.call('SET', KEYS[7], to_ver) end",
        "redis.call('INCR', KEYS[7])",
    ),
    "the cursor moves without the data": (
        "directory and failover",
        "profiles.each(function(alias, profile) redis.call('HSET', KEYS[8], alias, profile) end)",
        "",
    ),
    "a write is not counted": (
        "directory and failover",
        "local ver = redis.call('GET', KEYS[7]) or ''\n  commit()",
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
