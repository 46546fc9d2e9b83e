"""Scripts that complete ``api`` in a shell, made from the table: endpoints, options, values of a closed set."""

from __future__ import annotations

from bridge.commands.api.words import (
    ANEW,
    LEAVERS,
    SHELLS,
    endpoints_by_word,
    is_flag,
    may_come_from_a_file,
    option,
    parameters_of,
    takes_password,
)
from bridge.provider.bizmail.endpoints import TOKEN, USER_ADD, Endpoint

_FILES = ("--config", "--password-file", "--from")


def script(shell: str) -> str:
    """The script for a shell of :data:`.api_words.SHELLS`."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def options_of(endpoints: list[Endpoint]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Each option of a sub-command: what it is, and the values that it may have where they are known."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    if len(endpoints) > 1:
        found["--action"] = ("what to do", tuple(each.action.name for each in endpoints if each.action is not None))
    for parameter in parameters_of(endpoints):
        found[option(parameter)] = (parameter.what, () if is_flag(parameter) else parameter.choices)
    if TOKEN in endpoints:
        found["--anew"] = (ANEW, ())
    if takes_password(endpoints):
        found["--password-file"] = ("file with the password", ())
        found["--ask-password"] = ("ask for the password", ())
    if any(endpoint.warning for endpoint in endpoints):
        found["--yes"] = ("do what cannot be undone", ())
    if may_come_from_a_file(endpoints):
        found["--from"] = ("CSV or JSON lines, a call a row", ())
        found["--dry-run"] = ("say what would be done", ())
        found["--rate"] = ("calls a second", ())
        found["--wait"] = ("seconds to go on asking", ())
    if endpoints[0] is USER_ADD:
        found["--leavers"] = ("what becomes of accounts that the file leaves out", LEAVERS)
        found["--add-parties"] = ("add departments that are not there", ())
        found["--keep"] = ("an account that is no leaver", ())
    return found | {
        "--json": ("the answer as JSON", ()),
        "--config": ("TOML file with settings", ()),
        "--dev": ("the settings of dev in this folder", ()),
        "--help": ("what it does", ()),
    }


def _cases() -> tuple[str, str]:
    """Two ``case`` bodies, the same in bash and zsh: values by endpoint and option, options by endpoint."""
    values = [
        f"        '{word} {name}') words='{' '.join(choices)}' ;;\n"
        for word, endpoints in endpoints_by_word().items()
        for name, (_, choices) in options_of(endpoints).items()
        if choices
    ]
    options = [
        f"        '{word}') words='{' '.join(options_of(endpoints))}' ;;\n"
        for word, endpoints in endpoints_by_word().items()
    ]
    return "".join(values), "".join(options)


def _function(setup: str, ending: str) -> str:
    values, options = _cases()
    return f"""_exmail_bridge_api() {{
{setup}    case "$endpoint $before" in
        'api --completion') words='{" ".join(SHELLS)}' ;;
{values}    esac
    if [[ -z $words && ' {" ".join(_FILES)} ' != *" $before "* ]]; then
        case "$endpoint" in
        api) words='--list --completion --reference --help {" ".join(endpoints_by_word())}' ;;
{options}        esac
    fi
{ending}}}
"""


def _bash() -> str:
    setup = """    [[ ${COMP_WORDS[1]} == api && $COMP_CWORD -gt 1 ]] || return
    local words='' before=${COMP_WORDS[COMP_CWORD-1]} endpoint=api
    [[ $COMP_CWORD -gt 2 && ${COMP_WORDS[2]} != -* ]] && endpoint=${COMP_WORDS[2]}
"""
    ending = """    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
"""
    return (
        "# source <(exmail-bridge api --completion bash)\n"
        + _function(setup, ending)
        + "complete -o default -F _exmail_bridge_api exmail-bridge\n"
    )


def _zsh() -> str:
    setup = """    [[ ${words[2]} == api && $CURRENT -gt 2 ]] || { _files; return }
    local before=${words[CURRENT-1]} endpoint=api
    [[ $CURRENT -gt 3 && ${words[3]} != -* ]] && endpoint=${words[3]}
    local words=''
"""
    ending = """    if [[ -n $words ]]; then compadd -- ${=words}; else _files; fi
"""
    return (
        "# source <(exmail-bridge api --completion zsh), after compinit\n"
        + _function(setup, ending)
        + "compdef _exmail_bridge_api exmail-bridge\n"
    )


def _fish() -> str:
    words = endpoints_by_word()
    start = "__fish_seen_subcommand_from api; and not __fish_seen_subcommand_from " + " ".join(words)
    lines = [
        "# exmail-bridge api --completion fish | source",
        f"complete -c exmail-bridge -n '{start}' -l list -d 'every endpoint'",
        f"complete -c exmail-bridge -n '{start}' -l reference -d 'docs/protocol.md, as Markdown'",
        f"complete -c exmail-bridge -n '{start}' -x -l completion -a '{' '.join(SHELLS)}'",
    ]
    for word, endpoints in words.items():
        lines.append(f"complete -c exmail-bridge -f -n '{start}' -a {word} -d {_quoted(endpoints[0].what)}")
        for name, (what, choices) in options_of(endpoints).items():
            values = f" -x -a '{' '.join(choices)}'" if choices else ""
            seen = f"__fish_seen_subcommand_from {word}"
            lines.append(f"complete -c exmail-bridge -n '{seen}' -l {name[2:]}{values} -d {_quoted(what)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
