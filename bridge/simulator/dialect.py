"""How the provider speaks and behaves where its document says nothing; every value here is one interpretation.

Both objects may be changed while the simulator runs; what is already open keeps what it began with.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from enum import StrEnum


class Framing(StrEnum):
    """How pushes follow the answer to ``openapi/listen`` (protocol 3.2 leaves it open)."""

    SAME_SOCKET = "same-socket"
    """Each push is a response of its own with Content-Length, no request outstanding."""
    LONG_POLL = "long-poll"
    """One document a response, held until something happens, then asked again."""
    STREAM_CHUNKED = "stream-chunked"
    """One chunked response with many documents."""
    STREAM_CLOSE = "stream-close"
    """One response without a length; its body ends with the connection."""
    BARE = "bare"
    """A complete first response, then JSON objects with nothing around them."""


class KeyCase(StrEnum):
    """The letters of JSON keys."""

    AS_IS = "as-is"
    LOWER = "lower"
    UPPER = "upper"


class AuthKeyName(StrEnum):
    """The key under which ``mail/authkey`` answers; the document has two spellings, real answers a third."""

    AUTH_KEY = "auth_key"
    AUTHKEY = "authkey"
    KUTHKEY = "kuthkey"


@dataclass(slots=True, kw_only=True)
class Dialect:
    """How the bytes look.

    ``content_type`` None leaves the header away (the body is UTF-8 whatever it says). ``separator`` stands after
    each document of a stream or of bare pushes. ``split_chunks`` ends chunks in mid-document. The rest are habits
    that the document's own examples or real answers show: padded keys, trailing commas, counts and Ver as text.
    """

    framing: Framing = Framing.SAME_SOCKET
    separator: str = ""
    split_chunks: bool = False
    content_type: str | None = "application/json; charset=UTF-8"
    padded_keys: bool = False
    trailing_commas: bool = False
    key_case: KeyCase = KeyCase.AS_IS
    indented: bool = False
    push_count_as_text: bool = False
    answer_count_as_text: bool = True
    push_ver_as_text: bool = True
    answer_ver_as_text: bool = False
    party_list_as_text: bool = False
    auth_key_name: AuthKeyName = AuthKeyName.AUTH_KEY


class SecondListener(StrEnum):
    """What happens if a listener connects while another is connected."""

    DISPLACES = "displaces"
    BOTH = "both"
    REFUSED = "refused"


@dataclass(slots=True, kw_only=True)
class Rules:
    """How the provider behaves.

    ``poll_hold_s``: a long poll is answered ``{"Ret":0}`` after this many seconds of nothing. ``poll_acknowledges``:
    the first one of a connection is answered at once. ``hold_ms``: what happens between two long polls is kept
    this long (0: lost at once). ``crashed_hold_s``: with `SecondListener.REFUSED`, how long the place of a
    listener that went away stays taken. ``unsent_limit_bytes``: a listener that does not read is cut beyond this.
    ``party_delay_s``: a write to the parties shows this much later (0: at once). ``auth_key_life_s``: how long an
    auth key is good.
    """

    second_listener: SecondListener = SecondListener.DISPLACES
    crashed_hold_s: float = 0.0
    poll_hold_s: float = 30.0
    poll_acknowledges: bool = False
    hold_ms: int = 2000
    unsent_limit_bytes: int = 256 * 1024 * 1024
    party_delay_s: float = 0.75
    auth_key_life_s: float = 300.0


def change(settings: Dialect | Rules, **values: object) -> None:
    """Change some settings by name, with values as they come from JSON or TOML; all of them or none.

    Raises:
        ValueError: there is no such setting, or it cannot have this value.
    """
    fitting = {name: _fit(settings, name, value) for name, value in values.items()}
    for name, value in fitting.items():
        setattr(settings, name, value)


def _fit(settings: Dialect | Rules, name: str, value: object) -> object:
    default = {field.name: field.default for field in fields(settings)}.get(name, MISSING)
    if default is MISSING:
        raise ValueError(f"there is no setting {name}")
    if isinstance(default, StrEnum):
        return type(default)(str(value))
    if name == "content_type" and value is None:
        return None
    if isinstance(default, float) and type(value) in (int, float):
        return value
    if type(value) is type(default):
        return value
    raise ValueError(f"{name} cannot be {value!r}")
