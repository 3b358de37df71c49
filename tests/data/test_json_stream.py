"""The incremental JSON reader agrees with `json.loads` wherever the text is cut, and stays small."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finecl_hf.data.json_stream import array_elements, parse_json, read_json, text_chunks, text_lines
from finecl_hf.errors import DocumentError, FineCLError


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def cut(text, size):
    return [text[i : i + size] for i in range(0, len(text), size)]


def elements(text, size):
    return list(array_elements(cut(text, size)))


@given(st.lists(VALUES, max_size=5), st.integers(1, 9), st.booleans(), st.sampled_from([None, 1, "\t\r\n "]))
def test_equals_json_loads_wherever_the_text_is_cut(values, size, ascii_only, indent):
    text = json.dumps(values, ensure_ascii=ascii_only, indent=indent)
    assert elements(text, size) == json.loads(text)


@pytest.mark.parametrize("size", range(1, 25))
def test_escapes_brackets_and_surrogates_across_borders(size):
    text = (
        r' [ "a]\",[{\\" , "\ud83d\ude00\u00e9", {"]":"}\n"} , -12.5e+10, 1234567890123, true, null, -Infinity, [] ] '
    )
    assert elements(text, size) == json.loads(text)


def test_raw_control_characters_in_strings_are_kept():
    assert elements('["a\tb\nc\x00"]', 3) == ["a\tb\nc\x00"]
    assert parse_json('"a\tb"') == "a\tb"


@pytest.mark.parametrize(
    "text, words",
    [
        ('[{"a": 1}, {"a": ', "ends in the middle"),
        ('[{"a": 1}, {"a": "b', "ends in the middle"),
        ('[{"a": 1}', "ends in the middle"),
        ('[{"a": 1},', "ends in the middle"),
        ('[{"a": 1} {"a": 2}]', "`,` expected at `{"),
        ('[{"a": 1}, {a: 2}, {"a": 3}                               ]', "at `a: 2}"),
        ("[{'a': 1}]                      ", "not JSON here"),
        ('[{"a": 1}] [2]', "text follows the end"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[1" + "0" * 5000 + "]" + " " * 50, "cannot be read as JSON"),
    ],
)
@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_bad_text_is_told_in_one_sentence(text, words, size):
    with pytest.raises(DocumentError) as caught:
        elements(text, size)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_what_stands_before_an_error_is_yielded():
    chunks = cut('[1, 2, {"a" 3}, 4                                 ]', 4)
    seen = []
    with pytest.raises(DocumentError):
        for value in array_elements(chunks):
            seen.append(value)
    assert seen == [1, 2]


def test_an_early_mistake_does_not_pull_in_the_rest():
    taken = []

    def chunks():
        yield '[{"a": oops}' + " " + '"x",' * 20
        for i in range(1000):
            taken.append(i)
            yield '"x",' * 100

    with pytest.raises(DocumentError):
        list(array_elements(chunks()))
    assert taken == []


@given(st.text(alphabet="ab\n\r\u2028"), st.integers(1, 4))
def test_lines_end_at_line_feeds_only(text, size):
    expected = text.split("\n")
    assert list(text_lines(cut(text, size))) == (expected[:-1] if not expected[-1] else expected)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("opener", [open, gzip.open])
def test_text_chunks_decode_across_borders_without_bom(tmp_path, opener, size):
    text = 'né "😀"\r\nü'
    with opener(tmp_path / "file", "wb") as file:
        file.write(b"\xef\xbb\xbf" + text.encode())
    with open(tmp_path / "file", "rb") as file:
        assert "".join(text_chunks(file, size)) == text


def test_text_that_is_not_utf8_is_told_after_what_is(tmp_path):
    path = tmp_path / "latin"
    path.write_bytes("abc é".encode("latin-1"))
    with open(path, "rb") as file:
        chunks = text_chunks(file)
        assert next(chunks) == "abc "
        with pytest.raises(DocumentError, match="0xe9 is not UTF-8"):
            next(chunks)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_its_mark_is_told(encoding, tmp_path):
    path = tmp_path / "names"
    path.write_bytes("Ada,PER".encode(encoding))
    with open(path, "rb") as file, pytest.raises(DocumentError, match="UTF-16.*UTF-8"):
        list(text_chunks(file))


@pytest.mark.parametrize("text", ["", "{'a': 1}", '{"a": 1', '{"a": 1} x', "9" * 5000])
def test_parse_json_says_what_is_wrong(text):
    with pytest.raises(DocumentError, match="JSON"):
        parse_json(text)


def test_a_key_that_is_given_twice_is_told(tmp_path):
    path = tmp_path / "names.json"
    path.write_text('{"a": {"P19": 1, "P20": 2, "P19": 3}}')
    with pytest.raises(FineCLError, match='--names .*the key "P19" is given twice'):
        read_json(path, "--names")
    path.write_text('{"a": {"P19": 1}, "b": {"P19": 3}}')
    assert read_json(path) == {"a": {"P19": 1}, "b": {"P19": 3}}
