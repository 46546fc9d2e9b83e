"""Whom TLS trusts: whom the system trusts, and the certificates of a file, which may be replaced while we run."""

from __future__ import annotations

import logging
import os
import ssl

log = logging.getLogger(__name__)

Seen = tuple[int, int, int, int]


class Trust:
    """``ca_file``: a PEM file of certificates to trust beside the system's; ``""``: there is none.

    Each connection asks for :meth:`context`, which reads the file again if it has changed. One that cannot be used
    leaves things as they were.

    Raises:
        OSError, ssl.SSLError: the file cannot be read, or holds no certificate.
    """

    def __init__(self, ca_file: str) -> None:
        self._file = ca_file
        self._context: ssl.SSLContext | None = None
        self._seen: Seen | None = None
        if ca_file:
            self._seen = look_of(ca_file)
            self._context = _trusting(ca_file)

    @property
    def is_systems(self) -> bool:
        """Whether it is the system's alone."""
        return not self._file

    def context(self) -> ssl.SSLContext:
        """What to connect with now."""
        if self._context is None:
            # Made at the first need: it reads every certificate of the system.
            self._context = ssl.create_default_context()
        elif self._file and (seen := look_of(self._file)) != self._seen:
            self._seen = seen
            try:
                self._context = _trusting(self._file)
            except (OSError, ssl.SSLError) as error:
                log.warning(
                    "files of certificates cannot be used, those before stay in use",
                    extra={"files": [self._file], "error": str(error)},
                )
            else:
                log.info("certificates read again", extra={"files": [self._file]})
        return self._context


def look_of(file: str) -> Seen | None:
    """What changes with a file's content, however it is replaced; ``None``: it is not there."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _trusting(file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(file)
    return context
