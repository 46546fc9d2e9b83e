"""The settings and the files that they name, as each program has them."""

from __future__ import annotations

import stat
from collections.abc import AsyncGenerator, Iterator
from typing import Final

from bridge.app.fitness import check_fitness
from bridge.doctor.check import Check, Said
from bridge.doctor.finding import NotJudged, found
from bridge.doctor.means import Means, Program
from bridge.settings import Settings, SettingsError

_NOT_OURS_TO_READ: Final = "Permission denied"


async def _ask(means: Means) -> AsyncGenerator[Said, None]:
    for program, problems in means.problems.items():
        for problem in problems:
            yield _of_problem(program, problem)
    for program, settings in means.units.items():
        lacking = list(_lacking(program, settings))
        for setting in lacking:
            yield NotJudged("no-secret", program=program, setting=setting)
        try:
            check_fitness(settings, program)
        except SettingsError as error:
            for problem in error.problems:
                if not problem.startswith(tuple(lacking)):
                    yield _of_problem(program, problem)
    for path, mode in sorted(_open_files(means)):
        yield found("secret-open", file=path, mode=mode)


def _of_problem(program: str, problem: str) -> Said:
    if _NOT_OURS_TO_READ in problem:
        return NotJudged("secret-closed", program=program, problem=problem)
    return found("settings-wrong", program=program, problem=problem)


def _lacking(program: Program, settings: Settings) -> Iterator[str]:
    """Yield the names of secrets without which the program's way cannot be tried."""
    if program in ("worker", "signon"):
        if not settings.provider.client_id:
            yield "BRIDGE_PROVIDER_CLIENT_ID"
        if not settings.provider.client_secret:
            yield "BRIDGE_PROVIDER_CLIENT_SECRET"
    edge = settings.edge
    if program in ("edge", "signon") and not (edge.jwt_secrets or edge.jwks_url or edge.auth_header or edge.auth_url):
        yield "BRIDGE_EDGE_JWT_SECRET"


def _open_files(means: Means) -> set[tuple[str, str]]:
    """Secret files that everybody may read, or others may write, and their modes."""
    found_open = set()
    for settings in means.units.values():
        for secret in settings.secrets():
            path = secret.file
            if path is None:
                continue
            mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
            if mode & 0o026:
                found_open.add((str(path), f"{mode:04o}"))
    return found_open


CHECK: Final = Check("settings", _ask)
