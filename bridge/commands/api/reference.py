"""The page ``docs/protocol.md``: from a section of the provider's document to the code that stands for it.

Written from the table of endpoints, so that an endpoint without a method, a command or a test has nowhere to hide.
"""

from __future__ import annotations

from typing import Final

from bridge.provider.bizmail.endpoints import ENDPOINTS, Endpoint

_TESTS: Final = "tests/provider/test_every_endpoint.py"
_HEAD: Final = """\
# The protocol, section by section

Written by `exmail-bridge api --reference`; do not edit. On the left BizMail OpenApi v1.4, the provider's own document;
on the right what stands for it here: the method of `ProviderClient` ([how to use it](provider.md)), the route of the
simulated provider, the command, and the test that runs one against the other. A test reads this page and looks for
each of them.

| section | endpoint | what it does | method | simulator | command | test |
|---|---|---|---|---|---|---|
"""
_FOOT: Final = """
What `listen` pushes (3.2.2) is read by `bridge/provider/bizmail/pushes.py`; its framings are in
`tests/provider/test_response_framings.py`. The login (3.1.2) is opened by a browser: the method makes the address, and
sends nothing. 3.3.121 is how the document prints the heading of 添加邮件群组成员. `user/swapalias` is in no document;
it was seen in use.
"""


def reference() -> str:
    """Return the page."""
    return _HEAD + "".join(_row(endpoint) for endpoint in ENDPOINTS) + _FOOT


def _row(endpoint: Endpoint) -> str:
    action = f" --action {endpoint.action.name}" if endpoint.action is not None else ""
    name = f"{endpoint.name} {endpoint.action.name}" if endpoint.action is not None else endpoint.name
    cells = (
        endpoint.section,
        f"`{name}`",
        endpoint.what,
        f"`{endpoint.method}`",
        f"`{endpoint.path}`",
        f"`api {endpoint.name}{action}`",
        f"`{_TESTS}::test_{endpoint.method}`",
    )
    return f"| {' | '.join(cells)} |\n"
