"""What ``dev`` says on the terminal when it is ready: where to look, what to try, how to end it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bridge.dev.folder import DevFolder
from bridge.settings import Address, Settings
from bridge.simulator import Simulator

_SCRIPT: Final = "exmail-bridge"
_EVERY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


class Greeting:
    """The text; ``str()`` gives it, coloured on a terminal."""

    def __init__(self, settings: Settings, home: DevFolder, simulator: Simulator | None) -> None:
        self._settings = settings
        self._home = home
        self._simulator = simulator

    @property
    def url(self) -> str:
        """The page, as a browser on this machine reaches it."""
        host, port = self._settings.edge.listen
        return f"http://{Address(_EVERY_ADDRESS.get(host, host), port)}/"

    def __str__(self) -> str:
        settings = self._settings
        program = program_as_called(sys.argv[:1], here=Path.cwd())
        someone = next(iter(self._simulator.world.accounts)) if self._simulator else "MAILBOX"
        provider = f"{self._simulator.url}  (simulated)" if self._simulator else settings.provider.api_url
        redis = settings.redis.url
        if redis.startswith("unix:"):
            redis = redis.removeprefix("unix://")
        lines = [
            "",
            f"  {_styled('1', 'Exmail bridge')}  live page at  {_styled('1;36', self.url)}",
            "",
            f"  try       TOKEN=$({program} token {someone} --dev)",
            f'            curl -N -H "Authorization: Bearer $TOKEN" {self.url}events',
            f"  provider  {provider}",
            f"  redis     {redis}",
            f"  metrics   http://{settings.worker.admin_listen}/metrics  (worker)",
            f"            http://{settings.edge.admin_listen}/metrics  (edge)",
            f"  files     {self._home.settings_path}, {self._home.path / 'dev.log'}",
            "",
            f"  {_styled('2', 'Ctrl-C ends all of it.')}",
            "",
        ]
        return "\n".join(lines) + "\n"


def program_as_called(words: Sequence[str], *, here: Path) -> str:
    """How a shell in the folder ``here`` calls this program; ``words`` is ``sys.argv``.

    What is found on the PATH has its short name. From a checkout any ``python3`` will do, because the program finds its
    own environment; else it is the Python that runs now.
    """
    called = Path(words[0])
    if called.name == _SCRIPT:
        on_path = shutil.which(_SCRIPT)
        same = on_path is not None and Path(on_path).resolve() == called.resolve()
        return _SCRIPT if same else shlex.quote(str(called.absolute()))
    if called.resolve() == (here / "bridge" / "__main__.py").resolve():
        return "python3 -m bridge"
    return f"{shlex.quote(sys.executable)} -m bridge"


def _styled(code: str, text: str) -> str:
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR")
    return text if plain else f"\x1b[{code}m{text}\x1b[0m"
