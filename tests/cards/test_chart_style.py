"""Charts are small SVG files that are the same each time."""

import matplotlib

from finecl_hf.cards.chart_style import COLOURS, SHARES, save_chart


def test_equal_charts_are_equal_files(tmp_path):
    before = matplotlib.rcParams["font.size"]
    for name in "ab":
        save_chart(lambda axes: axes.plot([0, 1], [1, 0], color=COLOURS["good"], label="ö"), tmp_path / name, (2, 1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    text = (tmp_path / "a").read_text()
    assert "<svg" in text and COLOURS["good"] in text and "dc:date" not in text
    assert matplotlib.rcParams["font.size"] == before  # what others draw stays as it was


def test_every_share_has_a_colour():
    assert set(SHARES) <= set(COLOURS) and len({COLOURS[name] for name in SHARES}) == len(SHARES)
