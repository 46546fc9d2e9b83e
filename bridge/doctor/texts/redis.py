"""Redis: whom it lets in, and how it is set up."""

from __future__ import annotations

from typing import Final

from bridge.doctor.texts.words import Text, Words

REDIS: Final = {
    "redis-away": Text(
        en=Words(
            "{program}: Redis does not answer: {error}",
            "The bridge stands still: pushes wait in the worker, new browsers are told to come later.",
            "See whether Redis runs, and the way to it: BRIDGE_REDIS_URL, firewall, TLS.",
        ),
        zh=Words(
            "{program}：Redis 没有回答：{error}",
            "整个系统停顿：推送在 worker 里等着，新来的浏览器被告知稍后再来。",
            "看 Redis 是否在运行，以及到它的路：BRIDGE_REDIS_URL、防火墙、TLS。",
        ),
    ),
    "redis-refuses": Text(
        en=Words(
            "{program}: Redis does not let the user {user} in: {error}",
            "The program cannot start, or cannot dial again.",
            "Compare user, password and database with the server's; make-users prints the hashes of new passwords.",
        ),
        zh=Words(
            "{program}：Redis 不让用户 {user} 登录：{error}",
            "程序无法启动，或断线后连不回去。",
            "核对用户名、密码和库号；make-users 会输出新密码的散列。",
        ),
    ),
    "redis-right": Text(
        en=Words(
            "{program}: the Redis user {user} lacks a right: {error}",
            "A part of the program fails, at its start or later.",
            "Make the ACL file anew with deploy/redis/make-users, and ACL LOAD it; users.acl has the lines.",
        ),
        zh=Words(
            "{program}：Redis 用户 {user} 缺少一项权限：{error}",
            "程序的某一部分会失败，可能在启动时，也可能更晚。",
            "用 deploy/redis/make-users 重新生成 ACL 文件并执行 ACL LOAD；users.acl 里有这些行。",
        ),
    ),
    "user-right": Text(
        en=Words(
            "the Redis user {user} lacks {right} (users.acl, line {line})",
            "What needs this right fails, at a program's start or later, perhaps at night.",
            "Make the ACL file anew with deploy/redis/make-users of this release, and ACL LOAD it.",
        ),
        zh=Words(
            "Redis 用户 {user} 缺少 {right}（users.acl 第 {line} 行）",
            "需要这项权限的地方会失败，可能在程序启动时，也可能更晚，比如半夜。",
            "用本版本的 deploy/redis/make-users 重新生成 ACL 文件并执行 ACL LOAD。",
        ),
    ),
    "user-missing": Text(
        en=Words(
            "the server knows no user {user}, and there is a password for it",
            "The program that comes as this user is refused.",
            "Make the ACL file anew with deploy/redis/make-users, and ACL LOAD it.",
        ),
        zh=Words(
            "服务器上没有用户 {user}，而这里有它的密码",
            "使用这个用户的程序会被拒绝。",
            "用 deploy/redis/make-users 重新生成 ACL 文件并执行 ACL LOAD。",
        ),
    ),
    "user-password": Text(
        en=Words(
            "the password that is kept for {user} is not the server's",
            "The program that comes as this user is refused when it dials next.",
            "Make the ACL file anew with deploy/redis/make-users and ACL LOAD it, or give the program the other one.",
        ),
        zh=Words(
            "为 {user} 保存的密码与服务器上的不同",
            "使用这个用户的程序下次连接时会被拒绝。",
            "用 deploy/redis/make-users 重新生成 ACL 文件并执行 ACL LOAD，或把另一个密码交给程序。",
        ),
    ),
    "default-open": Text(
        en=Words(
            "Redis lets everybody in without a password",
            "Whoever reaches its port can read every mail's subject and publish what he likes.",
            "user default off, as in deploy/redis/users.acl.",
        ),
        zh=Words(
            "Redis 不用密码就放任何人进来",
            "能连到这个端口的人可以读到所有邮件标题，也可以随意发布。",
            "user default off，照 deploy/redis/users.acl。",
        ),
    ),
    "redis-spoilt": Text(
        en=Words(
            "{program}: {error}",
            "Something else writes into this namespace.",
            "Find out what; give each bridge a namespace of its own.",
        ),
        zh=Words(
            "{program}：{error}",
            "有别的程序在写这个命名空间。",
            "查出是谁；每个 bridge 用自己的命名空间。",
        ),
    ),
    "redis-unfit": Text(
        en=Words(
            "{program}: {error}",
            "The program does not start with this server.",
            "Redis 7.0 or Valkey 7.2 is needed, and a release that knows the layout of the data.",
        ),
        zh=Words(
            "{program}：{error}",
            "程序无法使用这台服务器启动。",
            "需要 Redis 7.0 或 Valkey 7.2，以及认识现有数据格式的版本。",
        ),
    ),
    "redis-takes-no-writes": Text(
        en=Words(
            "{program}: Redis takes no writes: {error}",
            "Nothing new is announced; pushes wait in the worker until its bound.",
            "OOM: more memory, or less history. MISCONF: its disk. NOREPLICAS: its replicas.",
        ),
        zh=Words(
            "{program}：Redis 不接受写入：{error}",
            "没有新的提醒；推送在 worker 里等到上限为止。",
            "OOM：加内存或减少历史。MISCONF：看磁盘。NOREPLICAS：看副本。",
        ),
    ),
    "redis-old": Text(
        en=Words(
            "the server is {server}, older than {least}",
            "Commands that the bridge needs are missing.",
            "Upgrade the server.",
        ),
        zh=Words(
            "服务器是 {server}，早于 {least}",
            "缺少本系统需要的命令。",
            "升级服务器。",
        ),
    ),
    "redis-forgets": Text(
        en=Words(
            "{server} keeps no append-only file",
            "After a crash positions, counts and history go back to the last snapshot; every browser starts anew.",
            "appendonly yes, appendfsync everysec, in the server's file as well as by CONFIG SET.",
        ),
        zh=Words(
            "{server} 没有开启 AOF",
            "崩溃之后，位置、计数和历史会退回到上一次快照；所有浏览器都要重新开始。",
            "appendonly yes，appendfsync everysec；写进配置文件，不只是 CONFIG SET。",
        ),
    ),
    "redis-evicts": Text(
        en=Words(
            "maxmemory-policy of {server} is {policy}",
            "When memory is short, Redis throws away history, tickets or the lease without a word.",
            "maxmemory-policy noeviction, in the server's file as well as by CONFIG SET.",
        ),
        zh=Words(
            "{server} 的 maxmemory-policy 是 {policy}",
            "内存不足时，Redis 会悄悄丢掉历史、票据或租约。",
            "maxmemory-policy noeviction；写进配置文件，不只是 CONFIG SET。",
        ),
    ),
    "redis-not-saved": Text(
        en=Words(
            "the last attempt of {server} to write to its disk failed",
            "Soon it takes no writes, or loses them at a restart.",
            "Look at its disk and its log: space, rights, the directory in dir.",
        ),
        zh=Words(
            "{server} 最近一次写盘失败",
            "它很快会拒绝写入，或在重启时丢失数据。",
            "看它的磁盘和日志：空间、权限、dir 指定的目录。",
        ),
    ),
    "redis-replica": Text(
        en=Words(
            "this {server} is a {role}",
            "A replica takes no writes.",
            "Point BRIDGE_REDIS_URL at the master, or use redis+sentinel:// or redis+cluster://.",
        ),
        zh=Words(
            "这台 {server} 是 {role}",
            "副本不接受写入。",
            "让 BRIDGE_REDIS_URL 指向主节点，或使用 redis+sentinel://、redis+cluster://。",
        ),
    ),
    "redis-memory": Text(
        en=Words(
            "with {events} events {server} will need about {need}, and has {have}",
            "When it is full it takes no writes, and nothing new is announced.",
            "Raise maxmemory (size --measured says how far), or lower BRIDGE_EVENTS_MAX and BRIDGE_HISTORY_SECONDS.",
        ),
        zh=Words(
            "存满 {events} 个事件时 {server} 约需 {need}，而它只有 {have}",
            "满了之后不接受写入，也就没有新的提醒。",
            "调高 maxmemory（调到多少，看 size --measured），或调低 BRIDGE_EVENTS_MAX 和 BRIDGE_HISTORY_SECONDS。",
        ),
    ),
    "redis-two-bridges": Text(
        en=Words(
            "another bridge of the namespace {namespace} leads in database {database} of this server",
            "Channels know no databases: each hears the other's events and takes them for gaps.",
            "Give one of them another BRIDGE_NAMESPACE.",
        ),
        zh=Words(
            "命名空间 {namespace} 的另一个 bridge 正在这台服务器的 {database} 号库里主持",
            "发布订阅不分库：双方会收到对方的事件，并误以为有遗漏。",
            "给其中一个换一个 BRIDGE_NAMESPACE。",
        ),
    ),
}
