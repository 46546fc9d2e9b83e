"""Bars, made from figures: a group for each row, a bar for each contender, its length the ratio to the base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

_WIDTH: Final = 920
_LEFT: Final = 150
_RIGHT: Final = 90
_BAR: Final = 16
_GAP: Final = 14
_TOP: Final = 84
_COLOURS: Final = {"Exmail Bridge": "#0b7261", "C floor": "#a9aeab", "bare Python": "#c79a2b", "nchan": "#5b7db1"}
_OTHER: Final = "#a8618d"
_KINDS: Final = {"ws": "WebSocket", "sse": "SSE"}
_HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="title what"
  font-family="system-ui, -apple-system, 'Segoe UI', 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif">
  <title id="title">Deliveries for each CPU second</title>
  <desc id="what">{words}</desc>
  <style>
    .card {{ fill: #f7f7f4; stroke: #dcdcd5 }}
    .head {{ font-size: 15px; font-weight: 600; fill: #1b1f1e }}
    .row {{ font-size: 13px; fill: #1b1f1e; text-anchor: end }}
    .value {{ font-size: 12px; fill: #4d5553 }}
    .base {{ stroke: #8d938f; stroke-dasharray: 3 4 }}
  </style>
  <rect class="card" x=".5" y=".5" width="{inner_width}" height="{inner_height}" rx="14"/>
"""


def draw(groups: Sequence[tuple[str, Sequence[tuple[str, float]]]], *, base: str) -> str:
    """An SVG. ``groups`` are rows (``ws-1000``), each with names and ratios."""
    longest = max([1.0, *(ratio for _, pairs in groups for _, ratio in pairs)])
    unit = (_WIDTH - _LEFT - _RIGHT) / longest
    height = _TOP + sum(len(pairs) * _BAR + _GAP for _, pairs in groups) + 10
    words = "; ".join(
        f"{_label(row)}: " + ", ".join(f"{name} {ratio:.2f}" for name, ratio in pairs) for row, pairs in groups
    )
    lines = [
        _HEAD.format(
            width=_WIDTH, height=height, inner_width=_WIDTH - 1, inner_height=height - 1, words=escape(words)
        ).rstrip("\n"),
        f'  <text class="head" x="20" y="30">Deliveries for each CPU second, {escape(base)} = 1 · '
        f"每 CPU 秒的投递数，{escape(base)} = 1</text>",
    ]
    names = list(dict.fromkeys(name for _, pairs in groups for name, _ in pairs))
    for number, name in enumerate(names):
        x = 20 + number * 150
        lines.append(f'  <rect x="{x}" y="46" width="12" height="12" rx="3" fill="{_colour(name)}"/>')
        lines.append(f'  <text class="value" x="{x + 18}" y="56">{escape(name)}</text>')
    lines.append(f'  <path class="base" d="M{_LEFT + unit:.1f} {_TOP - 8}V{height - 14}"/>')
    y = _TOP
    for row, pairs in groups:
        middle = y + len(pairs) * _BAR / 2 + 4
        lines.append(f'  <text class="row" x="{_LEFT - 12}" y="{middle:.1f}">{escape(_label(row))}</text>')
        for name, ratio in pairs:
            size = f'width="{unit * ratio:.1f}" height="{_BAR - 3}"'
            lines.append(f'  <rect x="{_LEFT}" y="{y}" {size} rx="2" fill="{_colour(name)}"/>')
            lines.append(f'  <text class="value" x="{_LEFT + unit * ratio + 6:.1f}" y="{y + 11}">{ratio:.2f}</text>')
            y += _BAR
        y += _GAP
    return "\n".join([*lines, "</svg>", ""])


def _label(row: str) -> str:
    """``5,000 WebSocket`` of ``ws-5000``."""
    kind, _, size = row.partition("-")
    number = f"{int(size):,}"
    return f"1 of {number}" if kind == "unicast" else f"{number} {_KINDS.get(kind, kind)}"


def _colour(name: str) -> str:
    return _COLOURS.get(name, _OTHER)
