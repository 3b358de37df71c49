"""Small tables of facts on disk."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finecl_hf.data.documents import Fact
from finecl_hf.errors import FineCLError
from finecl_hf.learning_order.row_files import read_rows, write_rows


SCHEMA = pa.schema({"head": pa.int32(), "relation": pa.string()})


def read(path):
    return read_rows(path, SCHEMA, "facts", "what `finecl-hf x` wrote")


def test_round_trip(tmp_path):
    write_rows([Fact(1, 2, "born in"), Fact(3, 0, "ö")], SCHEMA, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [{"head": 1, "relation": "born in"}, {"head": 3, "relation": "ö"}]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"head": [1]}, r"holds no facts.*\(the column relation is missing\)"),
        ({"head": ["one"], "relation": ["r"]}, "holds no facts"),
        ({"head": [2**40], "relation": ["r"]}, "holds no facts"),
        ({"head": [1, None], "relation": ["r", None]}, "2 values are missing"),
    ],
)
def test_other_tables(tmp_path, columns, said):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(FineCLError, match=f"a.parquet: (?=.*finecl-hf x).*{said}"):
        read(tmp_path / "a.parquet")
