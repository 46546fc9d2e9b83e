"""What one of each takes, measured. No other place has such a figure.

``python -m tests.bench.sizing`` measures all of it and prints the table below: the middle of three rounds, two digits
of it, on 2 cores of an AMD EPYC in a virtual machine with Linux 6.18, Python 3.11 and an append-only file. What is kept
in Redis is the mean of Valkey 8.1 and Redis 8.0. Bytes are much the same on any machine; tests/sizing/test_measured.py
measures them again, coarsely. Microseconds are CPU time of one such core, on which other programs ran meanwhile: on an
idle or a newer one they are fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes, microseconds of a core (``…_us``) and commands of Redis as INFO counts them (``…_commands``).

    In Redis: ``redis_empty``: the server with nothing in it · ``account``: an account's profile in the mirror, with the
    fields that are kept by default · ``alias``: a further address of one · ``mailbox``: its count and position ·
    ``history``: what a history takes before its events are counted · ``mail_event``, ``count_event``: the JSON of an
    event about a mail and about a count that changed · ``mail_in_history``, ``count_in_history``, ``mail_in_stream``,
    ``count_in_stream``: what such an event takes in its mailbox's history and in the stream of all events ·
    ``seen_mail``: a MailId that is remembered against announcing it twice · ``click``: one in the record of clicks.

    Of an edge: ``edge_process``: one process without browsers · ``connection``: a connection that is open, with a
    mailbox of its own · ``opening_…``: a connection that comes · ``frame_cpu_us``: an event that is handed to one
    connection · ``idle_…``: a second in which nothing happens, for each connection; ``idle_bytes`` are what is sent,
    ``idle_redis_us`` are Redis's.

    Of a worker: ``worker_process``: without accounts · ``account_in_worker`` · ``push_cpu_us``, ``push_redis_us``,
    ``push_commands``: a push from the provider's socket until it is committed, of the worker and of Redis.
    """

    redis_empty: float
    account: float
    alias: float
    mailbox: float
    history: float
    mail_event: float
    count_event: float
    mail_in_history: float
    count_in_history: float
    mail_in_stream: float
    count_in_stream: float
    seen_mail: float
    click: float
    edge_process: float
    connection: float
    opening_cpu_us: float
    opening_commands: float
    frame_cpu_us: float
    idle_cpu_us: float
    idle_commands: float
    idle_redis_us: float
    idle_bytes: float
    worker_process: float
    account_in_worker: float
    push_cpu_us: float
    push_redis_us: float
    push_commands: float


MEASURED: Final = Measured(
    redis_empty=880_000,
    account=220,
    alias=90,
    mailbox=150,
    history=4_100,
    mail_event=590,
    count_event=340,
    mail_in_history=690,
    count_in_history=400,
    mail_in_stream=720,
    count_in_stream=420,
    seen_mail=130,
    click=130,
    edge_process=70_000_000,
    connection=1_900,
    opening_cpu_us=170,
    opening_commands=13,
    frame_cpu_us=19,
    idle_cpu_us=2.9,
    idle_commands=0.12,
    idle_redis_us=0.55,
    idle_bytes=1.6,
    worker_process=60_000_000,
    account_in_worker=680,
    push_cpu_us=33,
    push_redis_us=31,
    push_commands=10,
)
