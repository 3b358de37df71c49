"""Templates of a folder."""

import jinja2
import pytest

from finecl_hf.cards.templates import templates_in


def test_values_are_escaped_where_the_page_is_html(tmp_path):
    (tmp_path / "a.txt").write_text("{% if value %}\n{{ value }}\n{% endif %}\nend", encoding="utf-8")
    for html, shown in ((False, "<é>"), (True, "&lt;é&gt;")):
        template = templates_in(tmp_path, html).get_template("a.txt")
        assert template.render(value="<é>") == f"{shown}\nend"  # no line of a tag is left


def test_a_value_that_nobody_gave_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("{{ value }}", encoding="utf-8")
    with pytest.raises(jinja2.UndefinedError, match="value"):
        templates_in(tmp_path).get_template("a.txt").render()


def test_options_are_those_of_jinja(tmp_path):
    (tmp_path / "a.txt").write_text("{{ value }}", encoding="utf-8")
    template = templates_in(tmp_path, finalize=str.upper).get_template("a.txt")
    assert template.render(value="a") == "A"
