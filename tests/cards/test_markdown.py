import pytest

from finecl_hf.cards.markdown import code, duration, fenced, number, renamed, table, text


@pytest.mark.parametrize(
    ("value", "as_text", "as_code"),
    [
        ("place of birth", "place of birth", "`place of birth`"),
        ("org:founded_by", "org:founded_by", "`org:founded_by`"),
        ("_x_ *y*", r"\_x\_ \*y\*", "`_x_ *y*`"),
        ("a|b", "a&#124;b", "a&#124;b"),
        ("a\n b", "a b", "`a b`"),
        ("`a`", r"\`a\`", "`` `a` ``"),
        ("<a> & b", "&lt;a&gt; &amp; b", "`<a> & b`"),
        ("", "", ""),
    ],
)
def test_text_and_code(value, as_text, as_code):
    assert (text(value), code(value)) == (as_text, as_code)


def test_fences_outgrow_what_they_hold():
    assert fenced("a", "bash") == "```bash\na\n```"
    assert fenced("a\n```\nb") == "````\na\n```\nb\n````"


def test_numbers():
    shown = [number(value) for value in (0.5, 0.0, 1.5e-5, 12, "20.0 ± 1.2")]
    assert shown == ["0.5000", "0.0000", "1.50e-05", "12", "20.0 ± 1.2"]


def test_durations():
    assert [duration(seconds) for seconds in (4.6, 65, 3600, 3725)] == ["5 s", "1 min 5 s", "1 h 0 min", "1 h 2 min"]


def test_tables_drop_empty_columns():
    assert table([["a", "", "c"]], ["A", "B", "C"]) == "| A | C |\n| --- | --- |\n| a | c |"


def test_a_path_is_renamed_in_every_form_and_once():
    card = b'load("/home/me/x"); run --model /home/me/x, not /home/me/x_int8 or "/home/me/y"'
    assert renamed(card, "/home/me/x", "/home/me/x_onnx") == (
        b'load("/home/me/x_onnx"); run --model /home/me/x_onnx, not /home/me/x_int8 or "/home/me/y"'
    )
    assert renamed(b'x = "out"  # out', "out", "me/run") == b'x = "me/run"  # out'
    assert renamed(card, None, "me/run") == card == renamed(card, "/home/me/x", None)
