"""A bar chart in SVG: what each setup costs beside Flask alone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.results import Result

_LEFT, _WIDTH, _BAR, _GAP, _RIGHT = 430, 420, 18, 10, 120
_OURS, _THEIRS, _BARE = "#2a7f62", "#8a8f98", "#c9cdd3"
_PAGE = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-size="13"
  font-family="system-ui, sans-serif" role="img" aria-label="CPU time per request by setup">
<rect width="{width}" height="{height}" fill="#fff"/>
{bars}
</svg>
"""
_ROW = """\
<text x="{end}" y="{middle}" text-anchor="end">{title}</text>
<rect x="{left}" y="{top}" width="{full:.1f}" height="{bar}" fill="{colour}"/>
<rect x="{left}" y="{top}" width="{light:.1f}" height="{bar}" fill="{bare}"/>
<text x="{behind:.1f}" y="{middle}">{value}</text>"""


def bars(results: list[Result]) -> str:
    """Return the chart; the part of a bar that is Flask's own is light."""
    scale = _WIDTH / max(result.best for result in results)
    light = results[0].best * scale
    rows = [_row(index, result, scale, light) for index, result in enumerate(results)]
    height = len(results) * (_BAR + _GAP) + _GAP
    return _PAGE.format(width=_LEFT + _WIDTH + _RIGHT, height=height, bars="\n".join(rows))


def _row(index: int, result: Result, scale: float, light: float) -> str:
    top = _GAP + index * (_BAR + _GAP)
    full = result.best * scale
    over = f" ({result.over:+.2f})" if index else ""
    return _ROW.format(
        end=_LEFT - 8,
        left=_LEFT,
        top=top,
        middle=top + _BAR - 5,
        bar=_BAR,
        full=full,
        light=light,
        behind=_LEFT + full + 6,
        title=escape(result.title),
        colour=_OURS if result.ours else _THEIRS,
        bare=_BARE,
        value=f"{result.best:.0f} µs{over}",
    )
