"""Where pushes come from: the port, and what happens in a conversation about them, as values in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from .pushes import Push


class Connecting(msgspec.Struct, frozen=True, gc=False):
    """A connection is about to be made, which may take the place of another listener's.

    Whoever may not do that leaves the conversation; asking for what happens next goes on with it.
    """


class Acknowledged(msgspec.Struct, frozen=True, gc=False):
    """The provider listens to us for certain: counts may be asked for. Once in a conversation."""


class Alive(msgspec.Struct, frozen=True, gc=False):
    """Bytes came that show that we are listened to.

    ``begun_at``: when a document began that is not whole yet (monotonic seconds); ``None``: all that came is whole.
    """

    begun_at: float | None


class Skipped(msgspec.Struct, frozen=True, gc=False):
    """For a while before the :class:`Alive` that follows nobody listened: what was pushed then is missed."""


class Batch(msgspec.Struct, frozen=True):
    """Pushes that came together, oldest first, never none; ``documents``: the text that each of them was read from.

    Of a document that was too large it is only the head.
    """

    pushes: list[Push]
    documents: list[bytes]


Happening = Connecting | Acknowledged | Alive | Skipped | Batch


class Conversation(Protocol):
    """One conversation about pushes. It ends, by an error, when pushes may have been lost."""

    @property
    def is_idle(self) -> bool:
        """Whether all that came was read and given away, as far as the event loop knows."""

    async def next(self) -> Happening:
        """What happens next, however long that takes.

        Raises:
            ProviderError: the conversation is over.
        """

    def close(self) -> None:
        """Leave it; nothing stays open at the provider."""


class Source(Protocol):
    """A source of pushes."""

    @property
    def names(self) -> Sequence[str]:
        """The names in its documents: they say nothing of a mail, and may be shown where its text may not."""

    def listen(self, *, cursor: Callable[[], int], silence_s: float) -> Conversation:
        """Begin a conversation; nothing is sent before its first :meth:`~Conversation.next`.

        ``cursor`` gives the newest member cursor that is applied, 0 for none. No byte for ``silence_s`` seconds is a
        reason to look whether the connection still stands.
        """

    def record(self, seconds: float) -> None:
        """Keep what comes from now on, for so long; the conversation that stands goes on as it does."""

    def recorded(self) -> Sequence[Mapping[str, Any]] | None:
        """What was kept, a JSON object a line, with stand-ins for every text of people; ``None``: nothing was asked."""

    def read(self, document: bytes) -> Sequence[Push]:
        """Read a document that was kept because it could not be read; never raises."""
