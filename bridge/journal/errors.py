"""What can go wrong with the journal, by whose fault. redis-py's errors are translated here, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import exceptions as redis_errors

from bridge.journal.certificates import hint


class JournalError(Exception):
    """Any fault of the journal."""


class JournalAway(JournalError):
    """Redis does not answer now, or cannot serve; asking again later will help.

    ``applied``: how many of the calls of a batch were applied, at most; ``None``: perhaps all of them. ``word``: the
    server's own, where it answered (``OOM``, ``LOADING``).
    """

    applied: int | None = None
    word: str = ""


class JournalUnreached(JournalAway):
    """There is no connection to Redis; nothing was sent."""

    applied = 0


class JournalMoved(JournalAway):
    """This server is not, or not any more, the one that holds the data. What it refused so was not applied."""


class JournalRefused(JournalError):
    """Redis answered and said no: wrong password, no rights, an old version, a read-only or full server."""


class JournalSpoilt(JournalError):
    """What stands under one name is none of ours: a value of another type, or text where a number is due.

    It concerns what was asked for, and nothing else.
    """


class TakesNoWrites(JournalAway):
    """The server is full or read-only by its own rules, and what was asked needs a write; readers are answered."""


class NotAdmitted(JournalUnreached):
    """The server answers, and lets us go no further. Nothing was done; waiting mends it if it once was otherwise."""


class WrongCredentials(NotAdmitted):
    """Wrong user or password."""


class NoSuchDatabase(NotAdmitted):
    """The server has fewer databases than the URL thinks."""


class NotLetIn(JournalRefused):
    """No rights."""


class FormatTooNew(JournalRefused):
    """The data were written by a newer program; this one would damage them."""


class MailboxBarred(JournalError):
    """The account is disabled or deleted; its mailbox may not be opened."""


class LeaseLost(JournalError):
    """Another worker leads. What was not committed must be dropped and announced."""


# The server answers, but cannot serve now: full, loading its file, failing over. It gets better by itself.
_NO_WRITES = ("OOM", "MISCONF", "NOREPLICAS")
_PASSING = ("LOADING", "TRYAGAIN", "BUSY")
# Another server has the data, or will have in a moment: a replica, a node that gave the slot away or lost the others.
_ELSEWHERE = ("READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "UNBLOCKED")

# What is answered to SELECT while redis-py dials, which makes a ConnectionError of it.
_NO_DATABASE: Final = ("DB index is out of range", "SELECT is not allowed in cluster mode", "invalid DB index")


def is_elsewhere(text: str) -> bool:
    """Whether an error that the server answered means that it is the wrong server now."""
    return text.partition(" ")[0] in _ELSEWHERE


def refusal(text: str) -> JournalError:
    """What an error that the server answered means: passing, or not."""
    fault = _meaning(text)
    if isinstance(fault, JournalAway):
        fault.word = text.partition(" ")[0]
    return fault


def _meaning(text: str) -> JournalError:
    if text.startswith(("NOAUTH", "WRONGPASS")):
        return WrongCredentials(text)
    if text.startswith("NOPERM"):
        return NotLetIn(text)
    if text.startswith("READONLY"):
        return JournalMoved(f"this server is a replica and takes no writes; its master is needed ({text})")
    if is_elsewhere(text):
        return JournalMoved(text)
    if text.startswith(_NO_WRITES):
        return TakesNoWrites(text)
    return JournalAway(text) if text.startswith(_PASSING) else JournalRefused(text)


@contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's errors and the network's into this room's."""
    try:
        yield
    except (redis_errors.AuthenticationError, redis_errors.AuthorizationError) as error:
        raise WrongCredentials(str(error)) from error
    except redis_errors.ResponseError as error:
        # redis-py takes the word that says what it is out of the text.
        word = f"{error.status_code} " if error.status_code else ""
        raise refusal(f"{word}{error}") from error
    except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError, TimeoutError) as error:
        if isinstance(error.__cause__, JournalError):
            # Before there was anything to connect to: where the server is could not be found out.
            raise error.__cause__ from error
        if isinstance(error.__cause__, redis_errors.AuthenticationError | redis_errors.AuthorizationError):
            # While it dials, redis-py makes a ConnectionError of whatever the server answers.
            raise WrongCredentials(str(error)) from error
        if any(said in str(error) for said in _NO_DATABASE):
            raise NoSuchDatabase(f"this server has no such database as BRIDGE_REDIS_URL names ({error})") from error
        what = hint(error)
        raise JournalAway(f"{str(error) or type(error).__name__}{what and f'; {what}'}") from error
    except redis_errors.RedisError as error:
        raise JournalRefused(str(error)) from error
