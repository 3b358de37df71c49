"""Columns of Arrow tables."""

from datasets import Dataset, concatenate_datasets

from finecl_hf.data.arrow import arrow_column, column_batches


def test_columns_keep_the_order_of_the_rows():
    rows = Dataset.from_dict({"a": [[i] * (i % 3) for i in range(2500)], "b": list(range(2500))})
    shuffled = rows.select(range(2499, -1, -1))  # by an index, not as they lie
    for dataset in (rows, shuffled, concatenate_datasets([shuffled, rows])):
        for name in "ab":
            expected = [row[name] for row in dataset]
            assert arrow_column(dataset, name).to_pylist() == expected
            batches = list(column_batches(dataset, name))
            assert [value for batch in batches for value in batch.to_pylist()] == expected
            assert max(map(len, batches)) == 1000
