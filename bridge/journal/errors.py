"""What can go wrong with the journal, by whose fault. redis-py's errors are translated here, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis import exceptions as redis_errors


class JournalError(Exception):
    """Any fault of the journal."""


class JournalAway(JournalError):
    """Redis does not answer now; asking again later will help. A write may or may not have been applied."""


class JournalRefused(JournalError):
    """Redis answered and said no: wrong password, no rights, an old version, a read-only or full server."""


class NotLetIn(JournalRefused):
    """Wrong user or password, or no rights."""


class FormatTooNew(JournalRefused):
    """The data were written by a newer program; this one would damage them."""


class MailboxBarred(JournalError):
    """The account is disabled or deleted; its mailbox may not be opened."""


class LeaseLost(JournalError):
    """Another worker leads. What was not committed must be dropped and announced."""


# The server answers, but cannot serve now: loading its file, failing over, full. It gets better by itself.
_PASSING = (
    "LOADING",
    "MASTERDOWN",
    "READONLY",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "OOM",
    "MISCONF",
    "BUSY",
    "NOREPLICAS",
    "UNBLOCKED",
)


def refusal(text: str) -> JournalError:
    """What an error that the server answered means: passing, or not."""
    if text.startswith(("NOAUTH", "NOPERM", "WRONGPASS")):
        return NotLetIn(text)
    return JournalAway(text) if text.startswith(_PASSING) else JournalRefused(text)


@contextmanager
def translated() -> Iterator[None]:
    """Turn redis-py's errors and the network's into this room's."""
    try:
        yield
    except (redis_errors.AuthenticationError, redis_errors.AuthorizationError) as error:
        # Both are ConnectionErrors to redis-py; waiting mends neither.
        raise NotLetIn(str(error)) from error
    except redis_errors.ResponseError as error:
        if isinstance(error, redis_errors.OutOfMemoryError | redis_errors.ReadOnlyError):
            # redis-py takes the word that says so out of the text.
            raise JournalAway(str(error)) from error
        raise refusal(str(error)) from error
    except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError, TimeoutError) as error:
        if isinstance(error.__cause__, redis_errors.AuthenticationError | redis_errors.AuthorizationError):
            # While it dials, redis-py makes a ConnectionError of whatever the server answers.
            raise NotLetIn(str(error)) from error
        raise JournalAway(str(error) or type(error).__name__) from error
    except redis_errors.RedisError as error:
        raise JournalRefused(str(error)) from error
