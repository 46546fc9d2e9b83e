"""From the text that an operator wrote to the value that a room gets.

Each function takes the text and raises ``ValueError`` with what is wrong in words that follow the setting's
name. The functions for secrets never quote the text.
"""

from __future__ import annotations

import base64
import binascii
import re
import ssl
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, NamedTuple, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

Network = IPv4Network | IPv6Network
ChoiceT = TypeVar("ChoiceT", bound=str)

_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_JWT_SECRET_BYTES: Final = 32
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?\.?", re.ASCII)


COOKIE_NAME: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}"
_MOST_COOKIES: Final = 16


class FileError(ValueError):
    """A file that a setting names cannot be used now. The setting may be right, and the file appear later."""


class Address(NamedTuple):
    """Where to listen; port 0 means any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def text(value: str) -> str:
    """One line of text, trimmed."""
    value = value.strip()
    if not value.isprintable():
        raise ValueError("must be one line without control characters")
    return value


def secret_text(value: str) -> str:
    """One line that is not empty; a line end that an editor added does not count."""
    value = value.rstrip("\r\n")
    if not value:
        raise ValueError("is empty")
    if not value.isprintable():
        raise ValueError("must be one line without control characters")
    return value


def matching(pattern: str, example: str) -> Callable[[str], str]:
    """Text that the whole of ``pattern`` matches."""
    compiled = re.compile(pattern, re.ASCII)

    def read(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(f"must look like {example}")
        return value

    return read


def one_of(*choices: ChoiceT) -> Callable[[str], ChoiceT]:
    """One of a closed set of words, in any case."""
    by_name = {choice.lower(): choice for choice in choices}

    def read(value: str) -> ChoiceT:
        try:
            return by_name[value.strip().lower()]
        except KeyError:
            raise ValueError(f"must be one of {', '.join(choices)}") from None

    return read


def integer(least: int, most: int) -> Callable[[str], int]:
    """A whole number between bounds."""

    def read(value: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", value.strip()) or not least <= int(value) <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return int(value)

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """A decimal number between bounds."""

    def read(value: str) -> float:
        if not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", value.strip()) or not least <= float(value) <= most:
            raise ValueError(f"must be a number from {least:g} to {most:g}")
        return float(value)

    return read


def address(value: str) -> Address:
    """``host:port``; an IPv6 host in brackets."""
    match = re.fullmatch(r"(\[[^\s\[\]/]+\]|[^\s:\[\]/]+):([0-9]{1,5})", value.strip())
    if match is None or int(match[2]) > 65535:
        raise ValueError("must be host:port, as in 0.0.0.0:8080 or [::]:8080")
    if match[1] == "*":
        raise ValueError("must name a host; every address of the machine is 0.0.0.0 or [::]")
    if not is_host(match[1]):
        raise ValueError("must be host:port, and its host is neither a name nor an address")
    return Address(match[1].strip("[]"), int(match[2]))


def http_url(value: str) -> str:
    """An ``http://`` or ``https://`` address without user, query or fragment; no slash at its end."""
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not _names_host(parts) or "@" in parts.netloc:
        raise ValueError("must be an http:// or https:// address without a user name")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or fragment")
    return value.strip().rstrip("/")


def proxy_url(value: str) -> str:
    """A proxy as curl takes it: ``http://`` where no scheme is written. Never quoted: it may hold a password."""
    value = value.strip()
    value = value if "://" in value else f"http://{value}"
    parts = _split(value)
    if parts.scheme not in ("http", "https") or not _names_host(parts):
        raise ValueError("must look like http://proxy.corp.com:3128; user and password may stand before the host")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must not have a path, query or fragment; in a password write %2F for / and %23 for #")
    return value.rstrip("/")


def without_user(url: str) -> str:
    """The same address with a mark where user and password stood."""
    before, at, host = url.strip().rpartition("@")
    scheme = f"{before.partition('://')[0]}://" if "://" in before else ""
    return f"{scheme}(hidden)@{host}" if at else url.strip()


def hosts(value: str) -> tuple[str, ...]:
    """Hosts between commas as ``NO_PROXY`` has them: names, addresses, networks, ``*``."""
    return tuple(part.lower() for part in _list(value))


def ca_file(value: str) -> str:
    """The whole path of a readable PEM file with certificates."""
    path = text(value)
    if not path:
        return ""
    if not path.startswith("/"):
        raise ValueError("must be a whole path, as in /etc/ssl/corp.pem")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        raise FileError("holds no PEM certificate") from None
    except OSError as error:
        raise FileError(f"cannot be read ({error.strerror})") from None
    return path


def key_pair(certificate: str, key: str | None) -> None:
    """Whether a certificate and its key (``None``: in the same file) can be shown to a server."""

    def no_password() -> str:
        raise FileError("ssl_keyfile is locked by a password; take that away")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, no_password)
    except ssl.SSLError:
        raise FileError("ssl_keyfile is no key, or not that of ssl_certfile") from None
    except OSError as error:
        raise FileError(f"ssl_keyfile cannot be read ({error.strerror})") from None


def origins(value: str) -> tuple[str, ...]:
    """Exact web origins between commas, lower case, default ports dropped."""
    return tuple(_origin(part) for part in _list(value))


def networks(value: str) -> tuple[Network, ...]:
    """Addresses and networks between commas; ``loopback`` stands for 127.0.0.0/8 and ::1, ``none`` alone for none."""
    if value.strip().lower() == "none":
        return ()
    found: list[Network] = []
    for part in _list(value):
        if part.lower() == "loopback":
            found.extend(_LOOPBACK)
            continue
        try:
            found.append(ip_network(part))
        except ValueError:
            raise ValueError(f"{part} is no address or network (as in 10.0.0.0/8)") from None
    return tuple(found)


def cookie_names(value: str) -> tuple[str, ...]:
    """Names of cookies between commas, each once."""
    names = tuple(dict.fromkeys(_list(value)))
    if len(names) > _MOST_COOKIES or any(re.fullmatch(COOKIE_NAME, name) is None for name in names):
        raise ValueError(f"must be at most {_MOST_COOKIES} names of cookies, as in PHPSESSID,oa_token")
    return names


def fields_of(known: Sequence[str], *, always: str) -> Callable[[str], tuple[str, ...]]:
    """Names out of ``known`` between commas, each once, ``always`` among them."""

    def read(value: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part.lower() for part in _list(value)))
        if unknown := [name for name in names if name not in known]:
            raise ValueError(f"{unknown[0]} is no field of a profile; {', '.join(known)} are")
        if always not in names:
            raise ValueError(f"must hold {always}")
        return names

    return read


def jwt_secrets(value: str) -> tuple[bytes, ...]:
    """HMAC secrets, one a line, as UTF-8 or after ``base64:``; each 32 bytes or more."""
    secrets: list[bytes] = []
    for place, line in enumerate((line for line in map(str.strip, value.splitlines()) if line), start=1):
        try:
            secret = base64.b64decode(line[7:], validate=True) if line.startswith("base64:") else line.encode()
        except binascii.Error:
            raise ValueError(f"secret {place} begins with base64: but is not base64") from None
        if len(secret) < _JWT_SECRET_BYTES:
            raise ValueError(f"secret {place} has {len(secret)} bytes; HS256 needs {_JWT_SECRET_BYTES} or more")
        secrets.append(secret)
    if not secrets:
        raise ValueError("is empty")
    return tuple(secrets)


def _origin(value: str) -> str:
    if value == "*":
        raise ValueError("must name each origin; * would let any page read mail")
    parts = _split(value)
    if parts.scheme not in _DEFAULT_PORTS or "@" in parts.netloc or parts.path not in ("", "/") or parts.query:
        raise ValueError(f"{value} is no origin (as in https://oa.corp.com)")
    if "*" in parts.netloc:
        raise ValueError(f"{value} must name one origin; there are no patterns")
    if not _names_host(parts):
        raise ValueError(f"{value} is no origin (as in https://oa.corp.com)")
    host = f"[{parts.hostname}]" if ":" in cast(str, parts.hostname) else parts.hostname
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def is_host(name: str) -> bool:
    """Whether this can be a host: a name (of ASCII after IDNA), or an address, one of IPv6 in brackets."""
    try:
        if name.startswith("[") and name.endswith("]"):
            return bool(IPv6Address(name[1:-1]))
        if re.fullmatch(r"[0-9.]+", name, re.ASCII):
            return bool(IPv4Address(name))
        return bool(_NAME.fullmatch(name.encode("idna").decode().lower()))
    except ValueError:
        return False


def _names_host(parts: SplitResult) -> bool:
    host = parts.netloc.rpartition("@")[2]
    return is_host(host if re.fullmatch(r"\[[^\]]*\]", host) else re.sub(r":[0-9]+\Z", "", host))


def _list(value: str) -> list[str]:
    return [part for part in (part.strip() for part in value.split(",")) if part]


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value.strip())
        _ = parts.port
    except ValueError:
        raise ValueError("is no URL") from None
    return parts
