"""What can go wrong upstream: a tree by whose fault it is.

``ProviderAway``, ``Busy`` and the ``Listen…`` errors pass with time; the rest needs a person or a correction.
No text here carries a token or secret: what the provider said is bounded and cleaned (:func:`plain`) before it gets
into an error. All of them can be pickled: whoever works with several processes gets them from another one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, quote_plus

K = TypeVar("K", bound="_Kept")

LONGEST_TEXT: Final = 200
"""Characters of the provider's own words that an error keeps."""
PERHAPS_DONE: Final = "whether it was done is not known, look before you try again"
"""Said of a write that was sent and answered with neither yes nor no."""
CODE_MOST: Final = 32
"""Characters of an errcode; those that were seen have five at most."""

_SHORT_NUMBER: Final = re.compile(r"-?[0-9]{1,6}", re.ASCII)
# Tokens have 80 characters and more, keys 32 hexadecimal digits; no word of an error text is that long.
_SECRET_LIKE: Final = re.compile(r"[\w+/=-]{24,}", re.ASCII)


class _Kept(Exception):
    """Survives pickling and copying whole, whatever its ``__init__`` takes."""

    def __reduce__(self) -> tuple[Callable[..., _Kept], tuple[Any, ...]]:
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[K], arguments: tuple[Any, ...], facts: Mapping[str, Any]) -> K:
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(facts)
    return error


class ProviderError(_Kept):
    """Anything that went wrong with the provider."""

    @property
    def public(self) -> str:
        """Its text for browsers and other services."""
        return str(self)


class ProviderAway(ProviderError):
    """The provider was not reached or did not answer in its protocol: network, DNS, TLS, timeout, HTTP status.

    ``sent``: the call may have reached it; a write that was sent may have been done. ``timed_out``: it may also still
    be under way. ``status`` is that of HTTP, where that was all there was.
    """

    def __init__(
        self, endpoint: str, why: str, *, sent: bool = True, timed_out: bool = False, status: int | None = None
    ) -> None:
        super().__init__(f"{endpoint}: {why}")
        self.endpoint = endpoint
        self.why = why
        self.sent = sent
        self.timed_out = timed_out
        self.status = status


class UnreadableAnswer(ProviderError):
    """The provider answered something that the protocol does not allow."""

    def __init__(self, endpoint: str, why: str) -> None:
        super().__init__(f"{endpoint}: {why}")
        self.endpoint = endpoint
        self.why = why


class OutcomeUnknown(UnreadableAnswer):
    """A write was answered with neither yes nor no: perhaps it was done. We never repeat it; look before you do."""


class NotUsable(ProviderError):
    """The client cannot be used here: its session is closed, or belongs to another event loop. Nothing was sent."""

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

    @property
    def label(self) -> str:
        """The code where it is a short number, fit for being stored and shown on a terminal; else ``""``."""
        return self.errcode if _SHORT_NUMBER.fullmatch(self.errcode) else ""


class InvalidToken(ProviderRefused):
    """Bad or expired token, the provider does not say which. Seen only after one renewal was in vain."""


class Busy(ProviderRefused):
    """Busy. Try again later."""


class NotFound(ProviderRefused):
    """No such account."""


class CallerFault(ProviderRefused):
    """What was asked is wrong; asking again will not help."""


class CredentialsRefused(ProviderRefused):
    """The provider refused client id and secret."""


class AddressNotAllowed(ProviderRefused):
    """The address we come from is not on the corporation's allow-list. Only its administrator can mend it."""

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

    @property
    def public(self) -> str:
        """Without the advice to the operator, which has our address in it and is for the log."""
        return f"the provider does not accept calls from our address (errcode {self.errcode})"


class BadParameter(_Kept, ValueError):
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


CONCERNS_ALL: Final = (Busy, InvalidToken, AddressNotAllowed, CredentialsRefused)
"""Refusals that say nothing of the account that was asked for: every other call would get the same."""


def again(error: Exception) -> Exception:
    """The same error anew, for another caller: one that is raised twice collects tracebacks."""
    return _again(type(error), error.args, vars(error)) if isinstance(error, _Kept) else error


def plain(text: str, secrets: Iterable[str] = ()) -> str:
    """Make the provider's words fit for a log line: one line, printable, bounded, no token or key echoed in them.

    ``secrets`` are those that are known here, however short: a provider that quotes what it refuses may quote them as
    they are, or as a form or a page writes them.
    """
    words = text[: 64 * LONGEST_TEXT]
    for secret in filter(None, secrets):
        forms = {secret, quote(secret), quote(secret, ""), quote_plus(secret), html.escape(secret)}
        for written in sorted(forms, key=len, reverse=True):
            words = words.replace(written, "…")
    words = _SECRET_LIKE.sub("…", words[: 8 * LONGEST_TEXT])[:LONGEST_TEXT]
    return "".join(c if c.isprintable() else " " for c in words).strip()
