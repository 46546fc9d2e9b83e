"""The settings as people read them: the reference page, and what is in force."""

from __future__ import annotations

from typing import Final

from bridge.settings.setting import Setting
from bridge.settings.table import TABLE, Settings

_HEAD: Final = """\
# Settings

Written by `exmail-bridge config reference`; change `bridge/settings/table.py`, not this page.

Each setting is an environment variable or a key of a TOML file: `--config FILE`, else `BRIDGE_CONFIG`, else
`/etc/exmail-bridge/bridge.toml` if it is there. Defaults give way to the file, the file to the environment, where an
empty variable counts as not set. A secret may be in a file of its own: add `_FILE` to the variable, or `_file` to the
key, and name that file. A file that is empty or cannot be read while a program runs is logged, and the value before it
stays in use. Unknown names are refused. `exmail-bridge config show` prints what is in force and where each value came
from. `exmail-bridge config check` finds what a start would find: what is wrong with the settings themselves (exit code
2), with files that they name (1), with `--for edge` what that program lacks, and with `--online` whether names, ports
and Redis with its database are there (1).

`SIGHUP` (`systemctl reload`) has `worker`, `edge` and `signon` read the file again while they run; nobody is
disconnected for it. The last column says what they take then: *taken*, or only at a *restart*. Changes that need a
restart are logged by name. Secrets are taken, in files of their own or not; whether one is set at all needs a restart.
What is in the files of certificates is read anew whenever it has changed. If anything cannot be used, that is logged,
and everything stays as it was. The environment is that of the start.

| variable | in the file | default | unit | meaning | on SIGHUP |
|---|---|---|---|---|---|
"""


def reference() -> str:
    """Return the page ``docs/settings.md``."""
    return _HEAD + "".join(_row(setting) for setting in TABLE)


def show(settings: Settings) -> str:
    """Return one line a setting: variable, value (never a secret's) and source."""
    rows = [
        (setting.variable, settings.texts[setting.variable] or "-", settings.sources[setting.variable])
        for setting in TABLE
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "".join(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {source}\n" for name, value, source in rows)


def _row(setting: Setting) -> str:
    place = f"`[{setting.section}] {setting.key}`" if setting.section else f"`{setting.key}`"
    default = f"`{setting.default}`" if setting.default else "–"
    meaning = f"Secret. {setting.help}" if setting.secret else setting.help
    if setting.former:
        meaning += f" `{setting.former}`, its former name, goes on to work."
    cells = (f"`{setting.variable}`", place, default, setting.unit, meaning, "taken" if setting.live else "restart")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
