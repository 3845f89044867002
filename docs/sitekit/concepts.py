"""The drawings of docs/concepts.md: `python docs/sitekit/concepts.py` writes them into docs/pictures.

Each is two rows of samples, the input above and the output below, with what the word means marked.
"""

from collections.abc import Mapping
from pathlib import Path

PICTURES = Path(__file__).parents[1] / "pictures"
SIZE, GAP, LEFT, HIGH = 34, 8, 74, 96
PLAIN, USED, MADE, NONE = "#ffffff", "#bcd7ea", "#f3c9a5", "#e4e4e4"
INK, LINE = "#222222", "#777777"


def _x(n: float) -> float:
    return LEFT + n * (SIZE + GAP)


def row(label: str, top: int, cells: Mapping[float, tuple[str, str]]) -> list[str]:
    """A row of samples: their places, each with its text and its colour."""
    parts = [f'<text x="4" y="{top + 22}" font-size="14" fill="{INK}">{label}</text>']
    for n, (text, colour) in cells.items():
        parts.append(
            f'<rect x="{_x(n)}" y="{top}" width="{SIZE}" height="{SIZE}" rx="4" fill="{colour}" stroke="{LINE}"/>'
            f'<text x="{_x(n) + SIZE / 2}" y="{top + 22}" font-size="14" text-anchor="middle" fill="{INK}">'
            f"{text}</text>"
        )
    return parts


def arrow(a: float, b: float, colour: str = LINE) -> str:
    """A line from input sample a down to output sample b."""
    return (
        f'<line x1="{_x(a) + SIZE / 2}" y1="{14 + SIZE}" x2="{_x(b) + SIZE / 2}" y2="{HIGH - 3}" '
        f'stroke="{colour}" stroke-width="1.6"/>'
    )


def drawing(parts: list[str], title: str, width: int = 10) -> str:
    """An SVG file of some parts."""
    size = f'width="{int(_x(width))}" height="{HIGH + SIZE + 14}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" role="img"><title>{title}</title>'
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    return "\n".join([head, ground, *parts, "</svg>\n"])


def _cells(
    name: str, count: int, marked: Mapping[int, str] | None = None, step: int = 1
) -> dict[float, tuple[str, str]]:
    marked = marked or {}
    return {n * step: (f"{name}{n}", marked.get(n, PLAIN)) for n in range(count)}


def pictures() -> dict[str, str]:
    """Every drawing, by its name."""
    high, low = 14, HIGH
    x8 = _cells("x", 8)

    def both(above: list[str], below: list[str], arrows: list[str]) -> list[str]:
        return [*arrows, *above, *below]

    used = dict.fromkeys((3, 4, 5), USED)
    field = [arrow(n, 5, "#1f5f8b") for n in (3, 4, 5)]
    ahead = [arrow(n, 4, "#1f5f8b") for n in (4, 5, 6)]
    segments = {
        n: (str(text), colour)
        for n, (text, colour) in enumerate(zip("aaabbbbc", [USED] * 3 + [MADE] * 4 + [NONE], strict=True))
    }
    positions = {n: (str(text), PLAIN) for n, text in enumerate((0, 1, 2, 0, 1, 2, 3, 0))}
    period = {n: USED if n % 4 == 0 else PLAIN for n in range(8)}
    return {
        "sample": drawing(
            row("signal", high, _cells("x", 8, {4: MADE}))
            + row("time", low, {n: (str(n), PLAIN) for n in range(8)}),
            "One sample of a signal, and its time",
        ),
        "rate": drawing(
            both(
                row("input", high, _cells("x", 8, period)),
                row("output", low, _cells("y", 2, {0: MADE, 1: MADE}, 4)),
                [arrow(0, 0), arrow(4, 4)],
            ),
            "At rate 1/4 every fourth input sample brings an output sample",
        ),
        "receptive_field": drawing(
            both(
                row("input", high, _cells("x", 8, used)), row("output", low, _cells("y", 8, {5: MADE})), field
            ),
            "y5 uses x3, x4 and x5: a receptive field of 3",
        ),
        "lookahead": drawing(
            both(
                row("input", high, _cells("x", 8, {4: USED, 5: "#e79a8f", 6: "#e79a8f"})),
                row("output", low, _cells("y", 8, {4: MADE})),
                ahead,
            ),
            "y4 uses x5 and x6: a lookahead of 2",
        ),
        "delay": drawing(
            both(
                row("input", high, x8),
                row(
                    "output",
                    low,
                    {n: ("0" if n < 3 else f"x{n - 3}", NONE if n < 3 else MADE) for n in range(8)},
                ),
                [arrow(n, n + 3) for n in range(5)],
            ),
            "With a delay of 3, y3 stands for x0",
        ),
        "period": drawing(
            both(
                row("input", high, _cells("x", 8, period)),
                row("output", low, {n: (f"y{n}", MADE if n % 4 == 0 else PLAIN) for n in range(8)}),
                [arrow(n - n % 4, n) for n in range(8)],
            ),
            "Every output holds the last of every fourth input: a period of 4",
        ),
        "position": drawing(
            row("row 0", high, {n: (str(n), PLAIN) for n in range(8)})
            + row("row 1", low, {n: (str(n + 20), PLAIN) for n in range(8)}),
            "Rows of a batch may stand at different positions",
        ),
        "segment": drawing(
            row("segment", high, segments) + row("position", low, positions),
            "Three signals packed into one row, each from position 0",
        ),
        "state": drawing(
            both(
                row(
                    "before",
                    high,
                    {n: (f"x{n}", NONE if n < 3 else USED if n < 5 else PLAIN) for n in range(8)},
                ),
                row(
                    "after",
                    low,
                    {n: (f"x{n}", NONE if n < 5 else USED if n < 7 else PLAIN) for n in range(8)},
                ),
                [],
            ),
            "A filter of three taps keeps the last two samples as its state",
        ),
    }


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, text in pictures().items():
        (PICTURES / f"{name}.svg").write_text(text)
