"""Each field of `TrainingArguments` works or is refused in a sentence."""

from dataclasses import MISSING, fields
from inspect import signature

import pytest
from transformers import Trainer, TrainingArguments

from finecl_hf.denoising.arguments import DenoiseArguments
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.arguments import FinetuneArguments
from finecl_hf.pretraining.arguments import PretrainArguments
from finecl_hf.pretraining.masked_lm import load_masked_lm
from finecl_hf.pretraining.trainer import PretrainTrainer
from finecl_hf.training.trainer_flags import (
    HONOURED,
    HONOURED_ARGUMENTS,
    REFUSED,
    REFUSED_ARGUMENTS,
    REFUSED_WITH_PARTNERS,
    undecided,
)


STAGES = {
    "denoise": (DenoiseArguments, REFUSED),
    "pretrain": (PretrainArguments, REFUSED | REFUSED_WITH_PARTNERS),
    "finetune": (FinetuneArguments, REFUSED),
}


def test_every_field_is_decided_on():
    assert not undecided(), "decide whether these work, and write them into training/trainer_flags.py"
    assert not HONOURED & REFUSED.keys()


def test_no_table_names_what_is_gone():
    assert {*HONOURED, *REFUSED, *REFUSED_WITH_PARTNERS} <= {field.name for field in fields(TrainingArguments)}


@pytest.mark.parametrize("stage, name", [(stage, name) for stage, (_, refused) in STAGES.items() for name in refused])
def test_refused_flags_name_themselves_and_a_way(stage, name, tmp_path):
    make, refused = STAGES[stage]
    (field,) = [field for field in fields(make) if field.name == name]
    default = field.default if field.default_factory is MISSING else []
    other = not default if isinstance(default, bool) else "other"
    needed = {"weight_scheme": "uniform"} if stage == "pretrain" else {}
    with pytest.raises(FineCLError, match=f"--{name} .*{refused[name].split('; ')[-1][:10]}"):
        make(output_dir=str(tmp_path), **needed, **{name: other})
    make(output_dir=str(tmp_path), **needed)


def test_every_argument_of_the_trainer_is_decided_on():
    assert set(signature(Trainer).parameters) == HONOURED_ARGUMENTS | REFUSED_ARGUMENTS.keys()


@pytest.mark.parametrize("name", REFUSED_ARGUMENTS)
def test_refused_arguments(name, bert_folder, tmp_path):
    args = PretrainArguments(str(tmp_path), weight_scheme="uniform", use_cpu=True)
    model = load_masked_lm(bert_folder)[0]
    with pytest.raises(FineCLError, match=name):
        PretrainTrainer(model, args, **{name: lambda *args: None})
