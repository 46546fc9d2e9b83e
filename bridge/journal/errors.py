"""What can go wrong with the journal, and whose fault it is. redis-py's errors are translated here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from redis import exceptions as redis_errors

from bridge.journal.certificates import hint


class JournalError(Exception):
    """Any fault of the journal."""


class JournalAway(JournalError):
    """Redis does not answer, or cannot serve now; asking again later will help.

    ``applied``: at most how many calls of a batch were applied; ``None``: perhaps all. ``word``: the first word of the
    server's error, if it answered (``OOM``, ``LOADING``).
    """

    applied: int | None = None
    word: str = ""


class JournalUnreached(JournalAway):
    """There was no connection to Redis; nothing was sent.

    ``vacant``: nobody listens where the last connection led.
    """

    applied = 0
    vacant = False


class JournalMoved(JournalAway):
    """This server does not hold the data, or not any more. The refused call was not applied."""


class JournalRefused(JournalError):
    """Redis answered and said no: wrong password, no rights, an old version, a read-only or full server."""


class OtherType(JournalRefused):
    """A key is of another type than ours: something else has written there. A call that met it has written nothing."""


class JournalSpoilt(JournalError):
    """A key has a value that the bridge did not write: another type, or text instead of a number.

    Only what was asked for is affected.
    """


class TakesNoWrites(JournalAway):
    """The server is full or read-only by its own rules, and the call needs a write; reads are answered."""


class NotAdmitted(JournalUnreached):
    """The server answers and does not admit us. Nothing was done; it may be temporary if it has worked before."""


class WrongCredentials(NotAdmitted):
    """Wrong user or password."""


class NoSuchDatabase(NotAdmitted):
    """The server has fewer databases than the URL thinks."""


class NotLetIn(JournalRefused):
    """Our user lacks a right."""


class FormatTooNew(JournalRefused):
    """The data were written by a newer program; this one would damage them."""


class MailboxBarred(JournalError):
    """The account is disabled or deleted; its mailbox may not be opened."""


class LeaseLost(JournalError):
    """Another worker leads. What was not committed must be dropped and announced as missed."""


# The server answers but cannot serve now: full, loading its file, failing over. It recovers by itself.
_NO_WRITES = ("OOM", "MISCONF", "NOREPLICAS")
_WITHIN: Final = " of pipeline caused error: "
_PASSING = ("LOADING", "TRYAGAIN", "BUSY")
# Another server has the data or soon will: this one is a replica, or a node without the slot or without a majority.
_ELSEWHERE = ("READONLY", "MOVED", "ASK", "CLUSTERDOWN", "MASTERDOWN", "UNBLOCKED")

# The answers to SELECT while redis-py dials, which raises them as ConnectionError.
_NO_DATABASE: Final = ("DB index is out of range", "SELECT is not allowed in cluster mode", "invalid DB index")


def is_elsewhere(text: str) -> bool:
    """Whether an error answer means that this is the wrong server now."""
    return text.partition(" ")[0] in _ELSEWHERE


def refusal(text: str) -> JournalError:
    """The exception for an error answer of the server."""
    fault = _meaning(text)
    if isinstance(fault, JournalAway):
        fault.word = text.partition(" ")[0]
    return fault


def _meaning(text: str) -> JournalError:
    if text.startswith(("NOAUTH", "WRONGPASS")):
        return WrongCredentials(text)
    if text.startswith("NOPERM"):
        return NotLetIn(text)
    if text.startswith("WRONGTYPE"):
        return OtherType(text)
    if text.startswith("READONLY"):
        return JournalMoved(f"this server is a replica and takes no writes; its master is needed ({text})")
    if is_elsewhere(text):
        return JournalMoved(text)
    if text.startswith(_NO_WRITES):
        return TakesNoWrites(text)
    return JournalAway(text) if text.startswith(_PASSING) else JournalRefused(text)


def _said(error: redis_errors.ResponseError) -> str:
    """What the server said. Where it said so within a pipeline, redis-py puts the command before it, with its values,
    which are nobody's to read in a log, and the server's words in quotes and brackets."""
    text = str(error)
    _, within, said = text.rpartition(_WITHIN)
    return said.strip("(,)'\"") if within else text


@contextmanager
def translated() -> Iterator[None]:
    """Translate errors of redis-py and of the network into those of this room."""
    try:
        yield
    except (redis_errors.AuthenticationError, redis_errors.AuthorizationError) as error:
        raise WrongCredentials(str(error)) from error
    except redis_errors.ResponseError as error:
        # redis-py cuts the error's first word off the text; put it back.
        word = f"{error.status_code} " if error.status_code else ""
        raise refusal(f"{word}{_said(error)}") from error
    except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError, TimeoutError) as error:
        if isinstance(error.__cause__, JournalError):
            # It could not be found out where the server is.
            raise error.__cause__ from error
        if isinstance(error.__cause__, redis_errors.AuthenticationError | redis_errors.AuthorizationError):
            # While dialling, redis-py raises every answer of the server as a ConnectionError.
            raise WrongCredentials(str(error)) from error
        if any(said in str(error) for said in _NO_DATABASE):
            raise NoSuchDatabase(f"this server has no such database as BRIDGE_REDIS_URL names ({error})") from error
        what = hint(error)
        raise JournalAway(f"{str(error) or type(error).__name__}{what and f'; {what}'}") from error
    except redis_errors.RedisError as error:
        raise JournalRefused(str(error)) from error
