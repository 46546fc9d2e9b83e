"""Which of a credential's mailboxes a request means, by any name that the bridge itself has told for it.

Events and snapshots name the account. A credential that names an alias of it opens it as well, but by the alias alone:
whether that still leads there is asked of the alias.
"""

from __future__ import annotations

from bridge.access.access import Access, Identity
from bridge.access.refused import Refused
from bridge.events import normalise_address
from bridge.journal.standing import Asker, Standings


async def chosen(access: Access, standings: Standings, identity: Identity, wanted: str | None) -> str:
    """The address of the credential that ``?mailbox=`` means; without it the first one.

    Raises:
        Refused: neither an address of the credential nor the account of one.
        JournalError: that cannot be known now.
    """
    try:
        return access.choose(identity, wanted)
    except Refused:
        account = normalise_address(wanted or "")
        if account is None:
            raise
        found = await standings.look([Asker(address, identity.session) for address in identity.mailboxes])
        for address, standing in zip(identity.mailboxes, found, strict=True):
            if standing.account == account:
                return address
        raise
