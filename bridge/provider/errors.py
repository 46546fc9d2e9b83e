"""What can go wrong upstream: a tree by whose fault it is.

``ProviderAway``, ``Busy`` and the ``Listen…`` errors pass with time; the rest needs a person or a correction.
No text here carries a token or secret: what the provider said is bounded and cleaned (:func:`plain`) before it gets
into an error.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST_TEXT: Final = 200
"""Characters of the provider's own words that an error keeps."""

# Tokens have 80 characters and more, keys 32 hexadecimal digits; no word of an error text is that long.
_SECRET_LIKE: Final = re.compile(r"[\w+/=-]{24,}", re.ASCII)


class ProviderError(Exception):
    """Anything that went wrong with the provider."""


class ProviderAway(ProviderError):
    """The provider was not reached or did not answer in its protocol: network, DNS, TLS, timeout, HTTP status."""

    def __init__(self, endpoint: str, why: str) -> None:
        super().__init__(f"{endpoint}: {why}")
        self.endpoint = endpoint
        self.why = why


class UnreadableAnswer(ProviderError):
    """The provider answered something that the protocol does not allow."""

    def __init__(self, endpoint: str, why: str) -> None:
        super().__init__(f"{endpoint}: {why}")
        self.endpoint = endpoint
        self.why = why


class ProviderRefused(ProviderError):
    """The provider answered and said no. ``errcode`` is text, as it sends it; unknown codes are carried as they are."""

    def __init__(self, errcode: str, text: str, endpoint: str) -> None:
        super().__init__(f"{endpoint}: refused with errcode {errcode} {plain(text)!r}")
        self.errcode = errcode
        self.text = plain(text)
        self.endpoint = endpoint


class InvalidToken(ProviderRefused):
    """1200: bad or expired token, the provider does not say which. Seen only after one renewal was in vain."""


class Busy(ProviderRefused):
    """1002: busy. Try again later."""


class NotFound(ProviderRefused):
    """1301, 1400: no such account."""


class CallerFault(ProviderRefused):
    """1001, 1303, 1304, 1310: what was asked is wrong; asking again will not help."""


class CredentialsRefused(ProviderRefused):
    """The token endpoint refused client id and secret in both forms of protocol 2.3."""


class AddressNotAllowed(ProviderRefused):
    """10001: the address we come from is not on the corporation's allow-list. Only its administrator can mend it."""

    def __init__(self, errcode: str, text: str, endpoint: str, local_address: str | None = None) -> None:
        super().__init__(errcode, text, endpoint)
        self.local_address = local_address

    def __str__(self) -> str:
        here = f"This machine's own address is {self.local_address}; behind NAT" if self.local_address else "Behind NAT"
        said = f", it says {self.text!r}" if self.text else ""
        return (
            f"{self.endpoint}: the provider does not accept calls from our address (errcode {self.errcode}{said}). "
            "In the Exmail console (工具箱 → 开放协议), put the address that this company shows to the internet on the "
            f"allow-list, for every site where the bridge may run. {here} that is another address, which the "
            "bridge cannot see."
        )


class BadParameter(ValueError):
    """A parameter breaks a rule of the protocol document; nothing was sent.

    Not a :class:`ProviderError`: it is the caller's doing, and passes by no waiting. ``section`` is the document's
    heading. A password is never in the text.
    """

    def __init__(self, parameter: str, rule: str, section: str) -> None:
        place = f"protocol {section}" if section[:1].isdigit() else f"{section} call"
        super().__init__(f"{parameter} {rule} ({place})")
        self.parameter = parameter
        self.rule = rule
        self.section = section


class ListenEnded(ProviderError):
    """The listen connection ended. What is pushed until the next session is lost.

    ``in_order``: the provider closed it, between two documents; as it does when another listener takes its place.
    """

    def __init__(self, why: str, *, in_order: bool = False) -> None:
        super().__init__(f"listen: {why}")
        self.why = why
        self.in_order = in_order


class ListenSilent(ProviderError):
    """Not a byte came on the listen connection for ``silence_s`` seconds, probes included."""

    def __init__(self, silence_s: float) -> None:
        super().__init__(f"listen: no byte for {silence_s:.1f} s")
        self.silence_s = silence_s


class ListenRefused(ProviderError):
    """The provider answered ``listen`` with a ``Ret`` other than 0. What the number means is not documented."""

    def __init__(self, ret: int) -> None:
        super().__init__(f"listen: refused with Ret {ret}")
        self.ret = ret


_BY_CODE: Final[dict[str, type[ProviderRefused]]] = {
    "1001": CallerFault,
    "1002": Busy,
    "1200": InvalidToken,
    "1301": NotFound,
    "1303": CallerFault,
    "1304": CallerFault,
    "1310": CallerFault,
    "1400": NotFound,
    "10001": AddressNotAllowed,
}


def refusal(errcode: str, text: str, endpoint: str) -> ProviderRefused:
    """The error that stands for an errcode."""
    return _BY_CODE.get(errcode, ProviderRefused)(errcode, text, endpoint)


def plain(text: str) -> str:
    """Make the provider's words fit for a log line: one line, printable, bounded, no token or key echoed in them."""
    words = _SECRET_LIKE.sub("…", text[: 8 * LONGEST_TEXT])[:LONGEST_TEXT]
    return "".join(c if c.isprintable() else " " for c in words).strip()
