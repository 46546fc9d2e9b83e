"""Cut the listen stream into whole JSON documents.

No I/O here: bytes go in, documents come out. The provider documents no separator (protocol 3.2.2), so white space
between documents is optional and a chunk may end anywhere, inside an escape too.

Each byte is looked at a bounded number of times, by regular expressions rather than by a Python loop: the state of
an unfinished document is kept, never scanned again. Flat documents that came whole, which nearly all are, are
matched in one go.

A document that never ends would make the listener deaf, so an unfinished one is given up where another begins: in
JSON ``{"`` and then a letter can only be the start of an object, and one that follows neither ``:`` nor ``[`` nor
``,`` is nobody's member.

A document past the limit is skipped: its end is looked for, only its head is kept.
"""

from __future__ import annotations

import re
from typing import Final

from ..pushes import Unreadable

DOCUMENT_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of the largest document that is kept until it is whole: a subject of 10 MB is still a mail."""
SKIP_LIMIT: Final = 4 * DOCUMENT_LIMIT
"""Bytes of the largest document whose end is looked for."""
KEPT: Final = 16 * 1024
"""Bytes kept of what is no document: text between documents, the head of one that is too large."""

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Between documents: white space, a byte order mark, and what would make an array of them.
_SEPARATORS: Final = b" \t\n\r\v\f,[]\x00\x1e\xef\xbb\xbf"
_BLANKS: Final = b" \t\r\n"
_BETWEEN: Final = re.compile(rb"[%b]*+" % re.escape(_SEPARATORS))
_FLAT: Final = re.compile(
    rb"[%b]*+(\{\s*+(?:%b\s*+:\s*+(?:%b|[-+.\w]++)\s*+(?:,\s*+|(?=\})))*+\})"
    % (re.escape(_SEPARATORS), _STRING, _STRING),
    re.DOTALL,
)
_OUTSIDE_STRINGS: Final = re.compile(rb'[^"{}]*+(?:%b[^"{}]*+)*+' % _STRING, re.DOTALL)
_INSIDE_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_OBJECT_START: Final = re.compile(rb'\{\s{0,64}"\s{0,64}[A-Za-z]')
_OBJECT_START_CUT: Final = re.compile(rb'\{\s{0,64}(?:"\s{0,64})?\Z')
_OPEN, _CLOSE, _QUOTE = b'{}"'


class DocumentTooLarge(ValueError):
    """A document whose end was looked for in vain. The stream cannot be trusted after this; close it.

    ``document`` is what was kept of it.
    """

    def __init__(self, limit: int, document: Unreadable) -> None:
        super().__init__(f"no end of a document within {limit} bytes")
        self.document = document


class Framer:
    """Takes body bytes, gives whole documents. Start a new one for each connection, call :meth:`end` at borders.

    ``limit``: bytes of the largest document that is given; ``skip_limit``: of the largest that is put up with.
    """

    def __init__(self, *, limit: int = DOCUMENT_LIMIT, skip_limit: int = SKIP_LIMIT) -> None:
        self._limit = limit
        self._skip_limit = skip_limit
        self._kept = min(KEPT, limit)
        self._document = bytearray()  # unfinished, from its opening brace on; of one that is skipped, the end
        self._head = b""  # of one that is skipped
        self._skipped = 0  # so much of it is gone
        self._scanned = 0  # so much of it the scan below has seen
        self._searched = 0  # so much of it holds no other object's start
        self._depth = 0
        self._in_string = False
        self._stray = bytearray()  # text between documents
        self._stray_size = 0
        self._too_large: DocumentTooLarge | None = None

    def feed(self, chunk: bytes) -> list[bytes | Unreadable]:
        """Take what came; return the documents it completed, oldest first.

        Text between documents that is more than separators is returned as a document of its own, for the reader
        to find unreadable; no mail is lost for it. What was too long to be kept comes as :class:`Unreadable`.

        Raises:
            DocumentTooLarge: on this call, or on the next if this one has documents to give.
        """
        if self._too_large is not None:
            raise self._too_large
        documents: list[bytes | Unreadable] = []
        data, at = self._resume(chunk, documents) if self._document else (chunk, 0)
        other = 0
        while at < len(data):
            if not self._stray:
                if (flat := _FLAT.match(data, at)) is not None:
                    documents.append(self._whole(flat[1]))
                    at = flat.end()
                    continue
                at = _end(_BETWEEN, data, at, len(data))
            if data.startswith(b"{", at):
                if self._stray:
                    documents.append(self._take_stray())
                    continue
                if other <= at:
                    other = _find_object(data, at + 1)
                at = self._begin(data, at, other, documents)
            elif at < len(data):
                opening = data.find(b"{", at)
                end = opening if opening >= 0 else len(data)
                self._stray += data[at : min(end, at + KEPT - len(self._stray))]
                self._stray_size += end - at
                at = end
        if self._skipped and (size := self._skipped + len(self._document)) > self._skip_limit:
            self._too_large = DocumentTooLarge(self._skip_limit, Unreadable("too-large", self._head, size))
            self._forget()
            if not documents:
                raise self._too_large
        return documents

    def end(self) -> bytes | Unreadable:
        """A border: no document goes on behind it. Returns what was left unfinished, empty if nothing was.

        Raises:
            DocumentTooLarge: as :meth:`feed` would on its next call.
        """
        if self._too_large is not None:
            raise self._too_large
        if self._stray:
            return self._take_stray()
        if not self._document:
            return b""
        left = self._up_to(len(self._document))
        self._forget()
        return left

    @property
    def inside(self) -> bool:
        """Whether a document has begun and not ended."""
        return bool(self._document)

    def _begin(self, data: bytes, at: int, other: int, documents: list[bytes | Unreadable]) -> int:
        """A document begins at ``at``; the next object that is no member of it at ``other``. Returns where to go on."""
        end = self._scan(data, at, other)
        if end < 0 and other < len(data):
            end = other
        if end >= 0:
            documents.append(self._whole(data[at:end]))
            self._forget()
            return end
        self._document += data[at:]
        self._scanned -= at
        self._searched = _searched(self._document, 1)
        self._shrink()
        return len(data)

    def _resume(self, chunk: bytes, documents: list[bytes | Unreadable]) -> tuple[bytes, int]:
        """Go on with the unfinished document. Returns what is left to look at, and from where."""
        document = self._document
        document += chunk
        other = _find_object(document, self._searched)
        end = self._scan(document, self._scanned, other)
        if end < 0 and other < len(document):
            end = other
        if end < 0:
            self._searched = _searched(document, self._searched)
            self._shrink()
            return chunk, len(chunk)
        documents.append(self._up_to(end))
        rest = bytes(document[end:])
        self._forget()
        return rest, 0

    def _scan(self, data: bytes | bytearray, at: int, limit: int) -> int:
        """Look for the document's end up to ``limit``; -1 if it is not there. Keeps where it stopped."""
        while at < limit:
            if self._in_string:
                at = _end(_INSIDE_STRING, data, at, limit)
                if at == limit or data[at] != _QUOTE:
                    break  # the string goes on, or it stops at a backslash whose character has not come yet
                at += 1
                self._in_string = False
            at = _end(_OUTSIDE_STRINGS, data, at, limit)
            if at == limit:
                break
            byte = data[at]
            at += 1
            if byte == _OPEN:
                self._depth += 1
            elif byte == _CLOSE:
                self._depth -= 1
                if self._depth == 0:
                    return at
            else:
                self._in_string = True
        self._scanned = at
        return -1

    def _shrink(self) -> None:
        """Past the limit, keep the head, and as much of the end as the search looks at again."""
        # No end will be found before this.
        done = min(self._scanned, self._searched)
        if not self._skipped:
            if done <= self._limit:
                return
            self._head = bytes(self._document[: self._kept])
        # The search looks back to the last character that is no blank.
        last = bytes(self._document[:done]).rstrip(_BLANKS)[-1:]
        gone = done - len(last)
        self._document = bytearray(last + self._document[done:])
        self._skipped += gone
        self._scanned -= gone
        self._searched -= gone

    def _up_to(self, end: int) -> bytes | Unreadable:
        """The unfinished document, up to where it ends."""
        if self._skipped:
            return Unreadable("too-large", self._head, self._skipped + end)
        return self._whole(bytes(self._document[:end]))

    def _whole(self, document: bytes) -> bytes | Unreadable:
        if len(document) > self._limit:
            return Unreadable("too-large", document[: self._kept], len(document))
        return document

    def _take_stray(self) -> bytes | Unreadable:
        stray, size = bytes(self._stray).rstrip(_SEPARATORS), self._stray_size
        self._stray.clear()
        self._stray_size = 0
        return stray if size <= KEPT else Unreadable("not-object", stray, size)

    def _forget(self) -> None:
        self._document = bytearray()
        self._head = b""
        self._skipped = 0
        self._scanned = self._searched = self._depth = 0
        self._in_string = False


def _end(pattern: re.Pattern[bytes], data: bytes | bytearray, at: int, limit: int) -> int:
    """Where a match from ``at`` ends; ``at`` itself if there is none."""
    match = pattern.match(data, at, limit)
    return match.end() if match is not None else at


def _find_object(data: bytes | bytearray, at: int) -> int:
    """Where the next object starts that cannot be a member of another; the length of ``data`` if none does."""
    while (match := _OBJECT_START.search(data, at)) is not None:
        before = match.start() - 1
        while data[before] in _BLANKS:
            before -= 1
        if data[before] not in b":[,":
            return match.start()
        at = match.start() + 1
    return len(data)


def _searched(document: bytearray, since: int) -> int:
    """How far ``document`` needs no second look for an object's start: the start may itself be cut."""
    last = document.rfind(b"{", since)
    return last if last >= 0 and _OBJECT_START_CUT.match(document, last) else len(document)
