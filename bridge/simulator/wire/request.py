"""Read requests as the provider reads them: names in any case, repeated keys, Content-Type ignored."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

import httptools

_LIMIT_BYTES = 1024 * 1024


class BadRequest(Exception):
    """These bytes are not a request that we read."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. ``headers`` and ``params`` have lower-case names; a parameter may have several values."""

    method: str
    path: str
    headers: dict[str, str]
    params: dict[str, list[str]]
    body: bytes
    keep_alive: bool

    def param(self, name: str) -> str | None:
        """The first value of a parameter without surrounding blanks, or None; ``name`` in lower case."""
        values = self.params.get(name)
        return values[0].strip() if values else None

    @property
    def token(self) -> str | None:
        """The access token, from the Bearer header, else from form or query."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        return value.strip() if kind.lower() == "bearer" else self.param("access_token")

    @property
    def credentials(self) -> tuple[str, str] | None:
        """Client id and secret, from Basic or from the parameters (protocol 2.3)."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                client_id, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return None
            return (client_id, secret) if colon else None
        named, key = self.param("client_id"), self.param("client_secret")
        return None if named is None or key is None else (named, key)


class RequestReader:
    """Cut the bytes of one connection into requests."""

    __slots__ = ("_body", "_done", "_headers", "_parser", "_size", "_target")

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._done: list[Request] = []
        self._begin()

    def feed(self, chunk: bytes) -> list[Request]:
        """Take what the socket gave; return the requests it completed, oldest first.

        Raises:
            BadRequest: close the connection.
        """
        self._size += len(chunk)
        if self._size > _LIMIT_BYTES:
            raise BadRequest("request too large")
        try:
            self._parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise BadRequest(str(error)) from error
        done, self._done = self._done, []
        return done

    def _begin(self) -> None:
        self._target, self._body, self._size = bytearray(), bytearray(), 0
        self._headers: dict[str, str] = {}

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._begin()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        target = urlsplit(self._target.decode("latin-1"))
        body = bytes(self._body)
        params: dict[str, list[str]] = {}
        for name, value in [*_pairs(target.query), *_pairs(body.decode("utf-8", "replace"))]:
            params.setdefault(name.strip().lower(), []).append(value)
        self._done.append(
            Request(
                method=self._parser.get_method().decode("latin-1"),
                path=unquote(target.path),
                headers=self._headers,
                params=params,
                body=body,
                keep_alive=self._parser.should_keep_alive(),
            )
        )


def _pairs(text: str) -> list[tuple[str, str]]:
    return parse_qsl(text, keep_blank_values=True)
