"""The click that opens a mail: from a person whom the edge knows to the provider's one-click login.

It is mounted into an edge or runs as a program of its own. It imports access, the journal's answer about a person, the
events' vocabulary, metrics, and of the provider the port of the login and the faults; it knows no dialect.

Begin with :mod:`.signon`, which answers a click: :mod:`.click` reads the request, :mod:`.door` says who asks. What came
of it is a :mod:`.verdict`, shown by :mod:`.page` in the :mod:`.words` of two languages. :mod:`.closed` answers where
clicks are not served.
"""

from __future__ import annotations
