"""Bar charts as SVG: the same bytes for the same figures, no script, and text that can be read without the drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 720, 340
LEFT, RIGHT, TOP, BOTTOM = 64, 704, 44, 262  # of the plot
COLORS = ("#2b6cb0", "#c05621")
GUIDES = 4

CHART = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" font-family="system-ui, sans-serif" \
font-size="12" fill="#1a202c">
<title>{title}</title>
<rect width="{width}" height="{height}" fill="#ffffff"/>
<text x="{middle}" y="24" text-anchor="middle" font-size="16">{title}</text>
{parts}
</svg>
"""


def text(x: float, y: float, content: str, **attributes: str) -> str:
    given = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.0f}" y="{y:.0f}"{given}>{escape(content)}</text>'


def rounded_up(value: float) -> int:
    """The next number of one or two digits and zeros: where the axis ends."""
    step = 10 ** max(len(str(int(value))) - 2, 0)
    return (int(value) // (step * GUIDES) + 1) * step * GUIDES


def bars(title: str, x_title: str, y_title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """A chart with a group of bars for each label, one bar for each series."""
    top = rounded_up(max(max(values) for values in series.values()))
    scale = (BOTTOM - TOP) / top
    group = (RIGHT - LEFT) / len(labels)
    bar = group * 0.8 / len(series)

    parts = []
    for n in range(GUIDES + 1):
        y = BOTTOM - scale * top * n / GUIDES
        parts.append(f'<path d="M{LEFT} {y:.0f}H{RIGHT}" stroke="#dddddd"/>')
        parts.append(text(LEFT - 8, y + 4, f"{top * n // GUIDES:,}", text_anchor="end"))
    for n, label in enumerate(labels):
        parts.append(text(LEFT + group * (n + 0.5), BOTTOM + 18, label, text_anchor="middle"))
    for place, (name, values) in enumerate(series.items()):
        for n, value in enumerate(values):
            x, y = LEFT + group * (n + 0.1) + bar * place, BOTTOM - scale * value
            size = f'width="{bar - 2:.0f}" height="{BOTTOM - y:.0f}"'
            parts.append(f'<rect x="{x:.0f}" y="{y:.0f}" {size} fill="{COLORS[place]}"/>')
            parts.append(text(x + bar / 2, y - 5, f"{value:,.0f}", text_anchor="middle"))
        legend = LEFT + place * 220
        parts.append(f'<rect x="{legend}" y="{HEIGHT - 24}" width="12" height="12" fill="{COLORS[place]}"/>')
        parts.append(text(legend + 18, HEIGHT - 13, name))
    parts.append(text((LEFT + RIGHT) / 2, BOTTOM + 38, x_title, text_anchor="middle"))
    parts.append(text(LEFT - 8, TOP - 12, y_title, text_anchor="end"))
    return CHART.format(width=WIDTH, height=HEIGHT, middle=WIDTH // 2, title=escape(title), parts="\n".join(parts))
