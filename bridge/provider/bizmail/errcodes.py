"""What the errcodes of BizMail mean, as faults of the vocabulary (provider-in-practice 3)."""

from __future__ import annotations

from typing import Final

from ..faults import AddressNotAllowed, Busy, CallerFault, InvalidToken, NotFound, ProviderRefused

BY_CODE: Final[dict[str, type[ProviderRefused]]] = {
    "1001": CallerFault,
    "1002": Busy,
    "1200": InvalidToken,
    "1301": NotFound,
    "1303": CallerFault,
    "1304": CallerFault,
    "1310": CallerFault,
    "1400": NotFound,
    "10001": AddressNotAllowed,
}


def refusal(errcode: str, text: str, endpoint: str) -> ProviderRefused:
    """The error that stands for an errcode; without one, for the word that an OAuth server has for 1002."""
    if not errcode and text == "temporarily_unavailable":
        return Busy(errcode, text, endpoint)
    return BY_CODE.get(errcode, ProviderRefused)(errcode, text, endpoint)
