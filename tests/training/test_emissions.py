"""What codecarbon's file says of a run, and when it says nothing."""

import pytest

from finecl_hf.training.emissions import last_emissions


CSV = "timestamp,run_id,duration,emissions,energy_consumed,latitude\n2026-01-01T00:00:00,a,5.0,{},0.1,52.5\n"


@pytest.mark.parametrize("text", ["", "timestamp,duration\n1,2\n", CSV.format(""), CSV.format("much"), CSV.format(-1)])
def test_nothing_is_said_where_nothing_was_measured(text, tmp_path):
    assert last_emissions(tmp_path / "emissions.csv") is None
    (tmp_path / "emissions.csv").write_text(text)
    assert last_emissions(tmp_path / "emissions.csv") is None


def test_the_last_training_in_a_folder_counts(tmp_path):
    later = CSV.format(0.5).splitlines(keepends=True)[1]
    (tmp_path / "emissions.csv").write_text(CSV.format(0.25) + later)
    assert last_emissions(tmp_path / "emissions.csv") == 500
