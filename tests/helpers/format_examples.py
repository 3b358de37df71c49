"""A small file of each format that other tools write, as they write it: (name, its bytes)."""

import io

import openpyxl


def sheet(rows):
    """An Excel workbook with these rows."""
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


TABLE = [
    ["id", "sentence", "head", "tail", "relation", "head_start", "head_end", "score"],
    [1, "Ada met Babbage in London.", "Ada", "Babbage", "knows", 0, 3, 0.5],
    [2, "Ada was born in London.", "Ada", "London", None, None, None, None],
]
CSV = "\n".join(",".join("" if cell is None else str(cell) for cell in row) for row in TABLE).encode()
EXAMPLES = [
    ("a.csv", b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n")),
    ("a.tsv", CSV.replace(b",", b"\t")),
    ("b.csv", CSV.replace(b"Ada met", b'"Ada ""met"""').replace(b",", b";")),
    ("a.xlsx", sheet(TABLE)),
]
