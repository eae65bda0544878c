"""docs/assets/families.svg: the path of the error under each family of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

BLOCKS, WIDE, HIGH, GAP, PANEL = 3, 76, 30, 34, 158
GREY, RED, BLUE = "#808080", "#d5562b", "#3f7fbf"  # legible on white and on black
TOP = 62


def _y(block: int) -> int:
    """The y coordinate of the middle of a block. Block 0 is the lowest."""
    return TOP + (BLOCKS - 1 - block) * (HIGH + GAP) + HIGH // 2


LEFT, RIGHT, OUT = 22, 22 + WIDE, TOP - 22
BELOW = TOP + BLOCKS * (HIGH + GAP)


def _arrow(points: str, colour: str = RED, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    head = {RED: "red", GREY: "grey", BLUE: "blue"}[colour]
    return f'<path d="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash} marker-end="url(#{head})"/>'


def _text(
    x: int, y: int, text: str, colour: str = GREY, size: int = 12, anchor: str = "middle", bold: bool = False
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{weight}>{text}</text>'


def transport() -> Iterator[str]:
    """Arrows from each block to the block below, through the backward weight."""
    for block in range(BLOCKS - 1, 0, -1):
        yield _arrow(f"M{RIGHT - 14} {_y(block) + HIGH // 2} V{_y(block - 1) - HIGH // 2 - 5}")
        yield _text(
            RIGHT - 8, _y(block) + HIGH // 2 + 21, "B<tspan dy='-4' font-size='9'>T</tspan>", RED, anchor="start"
        )


def direct() -> Iterator[str]:
    """Arrows from the output to every block."""
    for block in range(BLOCKS - 1):
        end = RIGHT + 14 + 14 * (BLOCKS - 2 - block)
        yield _arrow(f"M{LEFT + WIDE // 2 + 10} {OUT - 4} H{end} V{_y(block)} H{RIGHT + 6}")
    yield _text(RIGHT + 36, _y(1) - 26, "B e", RED, anchor="start")


def local() -> Iterator[str]:
    """Arrows from the targets to every block."""
    for block in range(BLOCKS - 1):
        yield _text(RIGHT + 40, _y(block) + 5, "y", BLUE, bold=True)
        yield _arrow(f"M{RIGHT + 32} {_y(block)} H{RIGHT + 6}")


def synthetic() -> Iterator[str]:
    """Arrows from a predictor above every block, which learns from the block above."""
    for block in range(BLOCKS - 1):
        y = _y(block) - HIGH // 2 - GAP // 2
        yield f'<circle cx="{RIGHT + 16}" cy="{y}" r="13" fill="none" stroke="{BLUE}" stroke-width="2"/>'
        yield _text(RIGHT + 16, y + 4, "SG", BLUE, 11)
        yield _arrow(f"M{RIGHT + 16} {y + 14} V{_y(block)} H{RIGHT + 6}")
        yield _arrow(f"M{RIGHT} {_y(block + 1)} H{RIGHT + 16} V{y - 18}", BLUE, dashed=True)


def indirect() -> Iterator[str]:
    """Arrows from the output to the first block, and from there upwards through W."""
    yield _arrow(f"M{LEFT + WIDE // 2 + 10} {OUT - 4} H{RIGHT + 20} V{_y(0)} H{RIGHT + 6}")
    yield _text(RIGHT + 26, _y(1) - 26, "B e", RED, anchor="start")
    for block in range(BLOCKS - 2):
        yield _arrow(f"M{RIGHT - 14} {_y(block) - HIGH // 2} V{_y(block + 1) + HIGH // 2 + 5}")
        yield _text(RIGHT - 8, _y(block) - HIGH // 2 - 12, "W", RED, anchor="start")


def frozen() -> Iterator[str]:
    """No arrows, because only the head receives an error."""
    yield _text(RIGHT + 8, _y(1) + 4, "fixed", GREY, 11, "start")
    yield _text(RIGHT + 8, _y(0) + 4, "fixed", GREY, 11, "start")


PANELS: list[tuple[str, str, Callable[[], Iterator[str]]]] = [
    ("transport", "fa usf kp wm", transport),
    ("direct", "dfa dkp dfa_sign", direct),
    ("local", "lafs solo drtp local", local),
    ("synthetic", "sg sgprop", synthetic),
    ("indirect", "ifa", indirect),
    ("frozen", "shallow", frozen),
]


def _panel(title: str, rules: str, errors: Callable[[], Iterator[str]]) -> Iterator[str]:
    middle = LEFT + WIDE // 2
    yield _text(middle, 14, title, GREY, 14, bold=True)
    for block in range(BLOCKS):
        y, name = _y(block) - HIGH // 2, "head" if block == BLOCKS - 1 else f"block {block + 1}"
        yield f'<rect x="{LEFT}" y="{y}" width="{WIDE}" height="{HIGH}" rx="5" fill="none" stroke="{GREY}" stroke-width="1.5"/>'
        yield _text(middle, _y(block) + 4, name)
        yield _arrow(f"M{LEFT + 14} {y + HIGH + GAP - 4} V{y + HIGH + 5}", GREY)
    yield _arrow(f"M{LEFT + 14} {_y(BLOCKS - 1) - HIGH // 2} V{OUT + 2}", GREY)
    yield _text(middle, OUT, "e", RED, 14, bold=True)
    yield _arrow(f"M{middle} {OUT + 4} V{_y(BLOCKS - 1) - HIGH // 2 - 5}")
    yield from errors()
    yield _text(middle, BELOW + 14, rules, GREY, 12)


def svg() -> str:
    """The content of the file."""
    wide, high = PANEL * len(PANELS), BELOW + 24
    heads = "".join(
        f'<marker id="{name}" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="4.5" markerHeight="4.5" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>'
        for name, colour in (("red", RED), ("grey", GREY), ("blue", BLUE))
    )
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        'font-family="system-ui, sans-serif" role="img">',
        "<title>Where the error travels under each family of rules</title>",
        f"<defs>{heads}</defs>",
    ]
    for number, panel in enumerate(PANELS):
        lines += [f'<g transform="translate({PANEL * number} 0)">', *_panel(*panel), "</g>"]
    return "\n".join([*lines, "</svg>"]) + "\n"
