"""How many connections there may be: of this process, from one address, to one mailbox, and openings a second.

A place is taken before anything is asked, of Redis or of a signature: a storm must not cost what it waits for. It is
held by the handshake first and by the connection afterwards, and is given back once, whatever became of either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final, Literal

from bridge.access import codes
from bridge.access.refused import Refused

_RATE_RETRY_S: Final = 2
_FULL_RETRY_S: Final = 5
_CROWD_RETRY_S: Final = 60
_IPV6_HOST_BITS: Final = 64
"""Of an IPv6 address that whoever has the rest of it chooses as he likes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on; 0 is no limit. ``handshakes`` are a second, one second's worth at once."""

    connections: int = 0
    per_address: int = 0
    per_mailbox: int = 0
    handshakes: int = 0


class Places:
    """Counts who is here. ``limits`` says what holds now, and ends nobody's connection by becoming narrower; ``now`` is
    monotonic seconds."""

    def __init__(self, limits: Callable[[], Limits], *, now: Callable[[], float]) -> None:
        self.taken = 0
        self._limits = limits
        self._by_address: dict[str, int] = {}
        self._now = now
        self._allowance = float(limits().handshakes)
        self._allowed_at = now()

    @property
    def asks_address(self) -> bool:
        """Whether it matters where somebody comes from."""
        return self._limits().per_address > 0

    def take(self, address: str) -> Place:
        """A place for whoever comes from ``address`` (``""``: not known, not counted by it).

        Raises:
            Refused: there is none; nothing is taken.
        """
        limits = self._limits()
        self._allow_handshake()
        if limits.connections and self.taken >= limits.connections:
            raise _later("full", f"this process has {limits.connections} connections, come later")
        host = _host_of(address) if limits.per_address else ""
        if host:
            there = self._by_address.get(host, 0)
            if there >= limits.per_address:
                raise Refused(
                    429,
                    codes.BUSY,
                    "address",
                    f"{limits.per_address} connections are open from this address",
                    retry_after_s=_CROWD_RETRY_S,
                )
            self._by_address[host] = there + 1
        self.taken += 1
        return Place(self, host)

    def mailbox_has_room(self, there: int) -> bool:
        """Whether a mailbox that has ``there`` connections may have one more."""
        most = self._limits().per_mailbox
        return not most or there < most

    def require_mailbox(self, there: int) -> None:
        """Check that a mailbox that has ``there`` connections may have one more.

        Raises:
            Refused: it may not.
        """
        most = self._limits().per_mailbox
        if most and there >= most:
            raise Refused(
                429,
                codes.TOO_MANY,
                "crowd",
                f"{most} connections of this mailbox are open",
                retry_after_s=_CROWD_RETRY_S,
            )

    def given_back(self, host: str) -> None:
        """A place of somebody from ``host`` is free again."""
        self.taken -= 1
        if host:
            there = self._by_address[host] - 1
            if there:
                self._by_address[host] = there
            else:
                del self._by_address[host]

    def _allow_handshake(self) -> None:
        rate = self._limits().handshakes
        if not rate:
            return
        now = self._now()
        self._allowance = min(float(rate), self._allowance + (now - self._allowed_at) * rate)
        self._allowed_at = now
        if self._allowance < 1:
            raise _later("rate", f"more than {rate} connections a second are opened, come later", _RATE_RETRY_S)
        self._allowance -= 1


class Place:
    """One of them."""

    __slots__ = ("_host", "_places")

    def __init__(self, places: Places, host: str) -> None:
        self._places: Places | None = places
        self._host = host

    def give_back(self) -> None:
        """It is not needed any more; may be called again."""
        places, self._places = self._places, None
        if places is not None:
            places.given_back(self._host)


def _later(label: Literal["full", "rate"], message: str, retry_after_s: int = _FULL_RETRY_S) -> Refused:
    return Refused(503, codes.BUSY, label, message, retry_after_s=retry_after_s)


def _host_of(address: str) -> str:
    """What counts as one address: of IPv6 the first half, for the other is its owner's to choose."""
    try:
        read = ip_address(address)
    except ValueError:
        return ""
    if isinstance(read, IPv6Address):
        return str(IPv6Address(int(read) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS))
    return address
