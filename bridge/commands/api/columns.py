"""What the columns of a file are called, in English and in Chinese, and what their cells say. Pure.

An empty cell says nothing; ``-`` says that the field shall be empty. In JSON lines a name that is left out, or null,
says nothing, and empty text or an empty list empties.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from bridge.commands.api.sheet import Fault, Record, SheetRefused
from bridge.provider.bizmail.parameters import Parameter

ACTION: Final = "action"
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "alias": ("账号", "帐号", "邮箱", "邮箱账号", "邮箱地址", "企业邮箱", "email"),
    "name": ("姓名", "名字", "名称"),
    "gender": ("性别",),
    "position": ("职位", "职务", "岗位"),
    "tel": ("电话", "联系电话", "固定电话", "座机"),
    "mobile": ("手机", "手机号", "手机号码", "移动电话"),
    "ext_id": ("编号", "工号", "员工编号"),
    "parties": ("部门", "所属部门", "department"),
    "slaves": ("别名", "邮箱别名"),
    "open_type": ("状态", "成员状态", "账号状态"),
    "password": ("密码", "初始密码"),
    "md5": (),
    ACTION: ("操作", "动作"),
    "emails": ("邮箱", "邮箱地址"),
    "party": ("部门", "部门路径"),
    "source": ("原部门", "原部门路径"),
    "group": ("群组", "邮件群组", "群组地址"),
    "members": ("成员", "群组成员"),
    "senders": ("发件人", "允许发件人"),
}
"""By the client's names; beside these a column may have the client's name itself, or the document's."""

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "gender": {"男": "1", "女": "2", "male": "1", "female": "2", "未设置": "0"},
    "open_type": {"启用": "1", "正常": "1", "enabled": "1", "禁用": "2", "停用": "2", "disabled": "2"},
    ACTION: {"新增": "ADD", "添加": "ADD", "增加": "ADD", "修改": "MOD", "更新": "MOD", "删除": "DEL"},
}
_MAY_BE_EMPTY: Final = ("position", "tel", "mobile", "ext_id", "parties", "slaves")
_DIGITS: Final = ("tel", "mobile", "ext_id")
_PATHS: Final = ("parties", "party")
_EMPTY: Final = "-"
_OF_PATHS: Final = re.compile(r"[;；\n]")
_OF_ADDRESSES: Final = re.compile(r"[;；,，、\s]")
_CUT: Final = re.compile(r"[0-9](?:\.[0-9]+)?E\+[0-9]{1,2}", re.ASCII | re.IGNORECASE)
"""A long number as a spreadsheet shows and saves it: its last digits are gone."""


def headings_of(parameters: Sequence[Parameter], *, action: bool) -> dict[str, str]:
    """Every heading that may stand over a column, folded, and the client's name that it means."""
    found = {}
    for parameter in parameters:
        for name in (parameter.key, parameter.name, *NAMES.get(parameter.key, ())):
            found[_folded(name)] = parameter.key
    if action:
        found |= {_folded(name): ACTION for name in (ACTION, *NAMES[ACTION])}
    return found


def _folded(heading: str) -> str:
    """A heading without what people vary: case, width, blanks, dashes, the star of a field that is needed."""
    return re.sub(r"[\s_\-*]", "", unicodedata.normalize("NFKC", heading)).casefold()


def values_of(found: Sequence[Record], parameters: Sequence[Parameter], *, action: bool) -> list[dict[str, object]]:
    """What each row says, by the client's names.

    Raises:
        SheetRefused: a column is not known, or a cell cannot be read.
    """
    known = headings_of(parameters, action=action)
    many = {parameter.key for parameter in parameters if parameter.most != 1}
    faults: list[Fault] = []
    refused: set[str] = set()
    rows = []
    for record in found:
        row: dict[str, object] = {}
        if not any(_folded(heading) in known for heading in record.cells):
            # Not quoted: of a file without headings these are somebody's data, perhaps a password.
            why = "names no column that is known, such as alias or 账号; are the headings missing?"
            faults.append(
                Fault(record.line if record.exact else None, why if record.exact else f"the first line {why}")
            )
            break
        for heading, cell in record.cells.items():
            if (key := known.get(_folded(heading))) is None:
                if heading not in refused:
                    refused.add(heading)
                    faults.append(Fault(record.line if record.exact else None, _unknown(heading, known)))
                continue
            try:
                value = _value(key, cell, many=key in many) if record.exact else _read(key, cell, many=key in many)
            except ValueError as error:
                faults.append(Fault(record.line, f"{_cut(heading)}: {error}"))
                continue
            if value is not None and key in row:
                faults.append(Fault(record.line, f"{_cut(heading)}: another column says {key} too"))
            elif value is not None:
                row[key] = value
        rows.append(row)
    if faults:
        raise SheetRefused(faults)
    return rows


def _unknown(heading: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(_folded(heading), known, n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"the column {_cut(heading)!r} is not known{meant}"


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def _value(key: str, value: Any, *, many: bool) -> object:
    """What a value of JSON says; ``None`` for nothing."""
    if isinstance(value, str):
        value = _word(key, value)
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    elif isinstance(value, list) and not (many and all(isinstance(each, str) for each in value)):
        raise ValueError("must be a list of texts" if many else "must be text or a number")
    elif value is not None and not isinstance(value, bool | list):
        raise ValueError("must be text, a number or a list of texts" if many else "must be text or a number")
    return [value] if many and isinstance(value, str) else value


def _read(key: str, cell: str, *, many: bool) -> object:
    """What a cell of CSV says; ``None`` for nothing."""
    if key == "password":
        # Blanks at its ends belong to it.
        return cell or None
    text = cell.strip()
    if not text:
        return None
    if text == _EMPTY and key in _MAY_BE_EMPTY:
        return [] if many else ""
    if key in _DIGITS and _CUT.fullmatch(text):
        raise ValueError("is a number that the spreadsheet has cut short; format the column as text")
    if many:
        between = _OF_PATHS if key in _PATHS else _OF_ADDRESSES
        return [part for piece in between.split(text) if (part := piece.strip())]
    return _word(key, text)


def _word(key: str, text: str) -> str:
    return _WORDS[key].get(text.strip().casefold(), text) if key in _WORDS else text
