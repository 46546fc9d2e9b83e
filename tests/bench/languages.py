"""What rows, contenders and explanations are called, in both languages of the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.bench.duel import HANDSHAKES, MEMORY, OWN, UNICAST

FLOOR: Final = "C floor"


@dataclass(frozen=True, slots=True)
class Language:
    """The words of one language; ``rows`` by the names of rows, ``names`` by those of contenders."""

    what: str
    measured: str
    rows: dict[str, str]
    names: dict[str, str]
    intro: str
    picture: str
    compared: str


ENGLISH: Final = Language(
    what="what",
    measured="measured",
    rows={
        "ws-1000": "broadcast, 1,000 WebSocket connections",
        "ws-5000": "broadcast, 5,000 WebSocket connections",
        "sse-1000": "broadcast, 1,000 SSE connections",
        "sse-5000": "broadcast, 5,000 SSE connections",
        UNICAST: "each event to one of 10,000 WebSocket connections, from Redis",
        HANDSHAKES: "handshakes",
        MEMORY: "memory for an idle connection",
        OWN: "memory for an idle connection with its own mailbox",
        "worker": "one worker, listen socket to committed",
        "redis-cpu": "Redis, for each push",
        "way-p50": "push to socket, 200 a second, 2,000 connections, median",
        "way-p99": "push to socket, 200 a second, 2,000 connections, p99",
    },
    names={},
    intro=(
        "Events delivered, and handshakes, for each CPU second of one process on one core; in brackets the ratio to "
        "{base}. {facts}. Median of {rounds} rounds, in each of which all were measured one after the other."
    ),
    picture="Deliveries for each CPU second, as a ratio",
    compared=(
        "Compared are one process each, alone on one core, with the same events of some 600 bytes and the same load "
        "client. The bridge is the whole edge behind Redis; each connection has a token and a position. The floor is "
        "a program in C that does nothing but `send`. Bare Python is aiohttp, and a frame that is built once for "
        "all. Both read Redis, know no tokens and keep nothing. nchan (in nginx) and Centrifugo are published to "
        "over HTTP, keep 200 events as the bridge does, and check no token. Not compared: what a worker does, "
        "several cores, TLS, slow browsers, and whether anything is lost. In a handshake the floor computes no key."
    ),
)
CHINESE: Final = Language(
    what="项目",
    measured="测得",
    rows={
        "ws-1000": "广播，1,000 个 WebSocket 连接",
        "ws-5000": "广播，5,000 个 WebSocket 连接",
        "sse-1000": "广播，1,000 个 SSE 连接",
        "sse-5000": "广播，5,000 个 SSE 连接",
        UNICAST: "每个事件发给 10,000 个 WebSocket 连接之一，来自 Redis",
        HANDSHAKES: "握手",
        MEMORY: "一个空闲连接的内存",
        OWN: "一个空闲连接的内存，各有自己的邮箱",
        "worker": "一个 worker，从 listen 套接字到写入完成",
        "redis-cpu": "Redis，每次推送",
        "way-p50": "推送到套接字，每秒 200 次，2,000 个连接，中位数",
        "way-p99": "推送到套接字，每秒 200 次，2,000 个连接，p99",
    },
    names={FLOOR: "C 下限", "bare Python": "裸 Python"},
    intro=(
        "单核上单个进程每 CPU 秒投递的事件数与握手数；括号内是与 {base} 之比。机器：{facts}。共 {rounds} 轮，"
        "每轮依次测量全部对象，取中位数。"
    ),
    picture="每 CPU 秒的投递数，以比值表示",
    compared=(
        "比较的是：各一个进程、独占一个核，事件相同（约 600 字节），负载客户端相同。本项目是 Redis 之后完整的 edge，"
        "每个连接各有 token 和位置。下限是只做 `send` 的 C 程序；裸 Python 是 aiohttp 加一个只构造一次、共用的帧。这"
        "两者都读 Redis，不认 token，什么都不保存。nchan（在 nginx 中）与 Centrifugo 通过 HTTP 发布，与本项目一样保留"
        " 200 个事件，不验 token。没有比较的是：worker 的工作、多核、TLS、缓慢的浏览器，以及是否有丢失。下限在握手时"
        "不计算密钥。"
    ),
)
