"""Draws the picture at the top of the README, docs/images/stages.svg: `python docs/draw_stages.py`.

All text lies in boxes with a ground of their own, so that it can be read on light and dark pages. The bars and dots
are drawn by hand and show what a stage does, not what was measured.
"""

from html import escape
from pathlib import Path


PICTURE = Path(__file__).parent / "images" / "stages.svg"
WIDTH, LEFT, BOX, GAP = 400, 6, 112, 24
STYLE = """
  text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
  text { font-size: 14px; fill: #1f2328 }
  .title { font-weight: 600; font-size: 16px }
  .small { font-size: 13px; fill: #4a535d }
  .box { fill: #f3f6f9; stroke: #9aa5b1 }
  .right { fill: #1f8a4c } .wrong { fill: #cf3f3f } .number { fill: #ffffff; font-weight: 700; font-size: 17px }
  .badge { fill: #3b5bdb } .arrow { fill: none; stroke: #7d8792; stroke-width: 2 } .head { fill: #7d8792 }
  .strong { stroke: #3b5bdb; stroke-width: 5 } .weak { stroke: #3b5bdb; stroke-width: 1.2; stroke-dasharray: 3 3 }
  .one { fill: #e8a33d } .other { fill: #7b61c9 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #b4bec9 } .box { fill: #1b222b; stroke: #57616d }
    .right { fill: #3fb96f } .wrong { fill: #f0706a } .strong, .weak { stroke: #8fa6ff } .badge { fill: #4c6ef5 }
  }
"""
# Labels by the epoch that they were learned in: right ones and wrong ones
LEARNED = [(44, 4), (24, 6), (12, 9), (6, 12), (4, 26)]


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def box(y: float, number: str, title: str, lines: list[str]) -> list[str]:
    """A stage: its number, its title, and what it does in short lines."""
    parts = [f'<rect x="{LEFT}" y="{y}" width="{WIDTH - 2 * LEFT}" height="{BOX}" rx="10" class="box"/>']
    parts += [f'<circle cx="{LEFT + 24}" cy="{y + 26}" r="14" class="badge"/>']
    parts += [text(LEFT + 24, y + 32, number, "number", "middle"), text(LEFT + 48, y + 32, title, "title")]
    return parts + [text(LEFT + 16, y + 60 + 19 * i, line, "small") for i, line in enumerate(lines)]


def arrow(y: float) -> list[str]:
    """From one box down to the next."""
    x = WIDTH / 2
    return [
        f'<path d="M{x} {y + 3}V{y + GAP - 9}" class="arrow"/>',
        f'<path d="M{x - 6} {y + GAP - 10}h12l-6 8z" class="head"/>',
    ]


def bars(x: float, y: float) -> list[str]:
    """Right labels are learned early, wrong ones late or never."""
    parts = []
    for number, (right, wrong) in enumerate(LEARNED):
        left = x + 25 * number
        parts.append(f'<rect x="{left}" y="{y - right}" width="18" height="{right}" class="right"/>')
        parts.append(f'<rect x="{left}" y="{y - right - wrong}" width="18" height="{wrong}" class="wrong"/>')
    return [*parts, text(x, y + 15, "early", "small"), text(x + 118, y + 15, "never", "small", "end")]


def pairs(x: float, y: float) -> list[str]:
    """Pairs of one relation attract each other; a label that is trusted pulls more."""
    one, other = [(0, 0), (30, -14), (22, 22)], [(96, -18), (116, 8)]
    lines = [("strong", one[0], one[1]), ("weak", one[0], one[2]), ("strong", other[0], other[1])]
    parts = [f'<path d="M{x + a} {y + b}L{x + c} {y + d}" class="{kind}"/>' for kind, (a, b), (c, d) in lines]
    parts += [f'<circle cx="{x + a}" cy="{y + b}" r="8" class="one"/>' for a, b in one]
    return parts + [f'<circle cx="{x + a}" cy="{y + b}" r="8" class="other"/>' for a, b in other]


def triple(x: float, y: float) -> list[str]:
    """What comes out."""
    parts = [text(x + 56, y - 24, "Ada Lovelace", "", "middle"), text(x + 56, y + 30, "London", "", "middle")]
    parts += [f'<path d="M{x + 56} {y - 16}V{y + 8}" class="arrow"/>']
    parts += [f'<path d="M{x + 50} {y + 7}h12l-6 8z" class="head"/>']
    return [*parts, text(x + 66, y + 1, "born in", "small")]


WORDS = [
    ("Denoise", ["Right labels are learned early,", "wrong ones late or never:", "trust in each label."]),
    (
        "Pre-train",
        ["Pairs with one relation attract,", "others repel; what is trusted", "counts for more: an encoder."],
    ),
    ("Fine-tune", ["On a few gold documents", "or sentences: an extractor,", "from text to triples."]),
]


def drawing() -> str:
    """The whole picture."""
    top, places = 46, [46 + GAP + (BOX + GAP) * number for number in range(3)]
    height = places[-1] + BOX + LEFT
    start = [f'<rect x="{LEFT}" y="{LEFT}" width="{WIDTH - 2 * LEFT}" height="{top - LEFT}" rx="10" class="box"/>']
    start += [text(WIDTH / 2, 32, "text, labelled by a knowledge base", "", "middle")]
    stages = [box(y, str(number), *words) for number, (y, words) in enumerate(zip(places, WORDS, strict=True), 1)]
    stages += [bars(256, places[0] + 86), pairs(260, places[1] + 62), triple(258, places[2] + 60)]
    arrows = [arrow(y - GAP) for y in places]
    body = "\n".join(["\n".join(start), *("\n".join(part) for part in [*arrows, *stages])])
    label = "Stage 1 finds wrong labels, stage 2 pre-trains with what is trusted, stage 3 fine-tunes an extractor"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{label}">\n<style>{STYLE}</style>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    PICTURE.write_text(drawing(), encoding="utf-8")
