"""Code that lies beside a model runs for nobody who did not ask for it."""

import builtins
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import AutoConfig, AutoModel, pipeline

from finecl_hf import FineCLConfig, FineCLForRelationExtraction, RelationExtractionPipeline, load_relation_model
from finecl_hf.encoding.encoders import load_tokenizer, loading_options
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.loading import load_encoder
from finecl_hf.extraction.recognition.recognisers import make_recogniser
from finecl_hf.pretraining.masked_lm import load_masked_lm
from finecl_hf.training.arguments import ModelArguments
from finecl_hf.training.loading import load_encoder as load_document_encoder


CLASSES = {
    "AutoConfig": "code.Config",
    "AutoModel": "code.Model",
    "AutoModelForMaskedLM": "code.Model",
    "AutoModelForTokenClassification": "code.Model",
    "AutoTokenizer": [None, "code.Tokenizer"],
}
PIPELINES = {
    task: {"impl": "code.Pipeline", "pt": ["AutoModel"]} for task in ("relation-extraction", "token-classification")
}
LABELS = {"NA": 0, "r": 1}


@pytest.fixture(autouse=True)
def never_asked(monkeypatch):
    """Whoever is asked whether code may run says yes; nobody is."""
    asked = []
    monkeypatch.setattr(builtins, "input", lambda *args: asked.append(args) or "y")
    yield
    assert not asked


def set_trap(folder, **changes):
    """Code that leaves a trace where it runs, and a configuration that names it for everything."""
    trace = Path(folder, "it_ran")
    Path(folder, "finecl_code").mkdir(exist_ok=True)
    for name in ("code.py", "finecl_code/model.py", "finecl_code/extraction_modeling.py"):
        Path(folder, name).write_text(f"open({str(trace)!r}, 'w').close()\nraise SystemExit\n")
    for name in ("config.json", "tokenizer_config.json"):
        path = Path(folder, name)
        path.write_text(json.dumps({**json.loads(path.read_text()), "auto_map": CLASSES, **changes}))
    return trace


@pytest.fixture
def encoder(bert_folder, tmp_path):
    return str(shutil.copytree(bert_folder, tmp_path / "encoder"))


@pytest.fixture
def extractor(bert_folder, bert_tokenizer, tmp_path):
    config = FineCLConfig.for_labels(LABELS, max_seq_length=64)
    model = FineCLForRelationExtraction.from_encoder(bert_folder, config)
    RelationExtractionPipeline(model, bert_tokenizer).save_pretrained(tmp_path / "extractor")
    return str(tmp_path / "extractor")


LOADERS = {
    "encoder": lambda folder: load_encoder(folder, None),
    "masked_lm": load_masked_lm,
    "tokenizer": load_tokenizer,
    "new_model": lambda folder: FineCLForRelationExtraction.from_encoder(folder, FineCLConfig.for_labels(LABELS)),
    "options": lambda folder: loading_options(folder, 0.0),
    "documents": lambda folder: load_document_encoder(ModelArguments(folder, max_seq_length=64), LABELS),
    "recogniser": lambda folder: make_recogniser(folder),
}


@pytest.mark.parametrize("load", LOADERS)
def test_of_encoders(load, encoder):
    trace = set_trap(encoder, custom_pipelines=PIPELINES)
    try:
        LOADERS[load](encoder)
    except FineCLError as error:
        assert load == "recogniser" and "not run unasked" in str(error)
    assert not trace.exists()


@pytest.mark.parametrize("load", [name for name in LOADERS if name != "tokenizer"])
def test_of_encoders_that_are_nothing_without_it(load, encoder):
    trace = set_trap(encoder, model_type="evil")
    with pytest.raises(FineCLError, match="not run unasked"):
        LOADERS[load](encoder)
    assert not trace.exists()


def test_whoever_asks_for_it_gets_it(encoder):
    trace = set_trap(encoder)
    with pytest.raises(SystemExit):
        load_encoder(encoder, None, trust_remote_code=True)
    assert trace.exists()


@pytest.mark.parametrize("trust", [None, False, True])
def test_of_relation_models(trust, extractor, ada):
    """The package has code of its own, and never runs another's in its place."""
    trace = set_trap(extractor, custom_pipelines=PIPELINES)
    given = {} if trust is None else {"trust_remote_code": trust}
    if not trust:  # a tokenizer has no code of its own in the package
        for extract in (
            RelationExtractionPipeline.from_pretrained(extractor, **given),
            pipeline("relation-extraction", model=extractor, tokenizer=load_tokenizer(extractor), **given),
        ):
            assert isinstance(extract, RelationExtractionPipeline) and extract(ada) is not None
    for load in (AutoModel, FineCLForRelationExtraction, SimpleNamespace(from_pretrained=load_relation_model)):
        model = load.from_pretrained(extractor, **given)
        assert type(model) is FineCLForRelationExtraction and type(model.config) is FineCLConfig
    assert type(AutoConfig.from_pretrained(extractor, **given)) is FineCLConfig
    assert not hasattr(model.config, "auto_map") and not hasattr(model.config, "custom_pipelines")
    assert not trace.exists()


@pytest.mark.parametrize("model_type", ["bert", "evil"])
def test_of_the_encoder_in_a_relation_model(model_type, extractor):
    config = json.loads(Path(extractor, "config.json").read_text())
    inner = {**config["text_config"], "auto_map": CLASSES, "model_type": model_type}
    trace = set_trap(extractor, text_config=inner)
    if model_type == "bert":
        load_relation_model(extractor)
    else:
        with pytest.raises(FineCLError, match="evil"):
            load_relation_model(extractor)
    assert not trace.exists()


def test_what_a_run_leaves_in_place_is_written_anew(extractor, tmp_path):
    """Saved again, a model has the package's code and not that which lay beside it."""
    trace = set_trap(extractor)
    load_relation_model(extractor).save_pretrained(tmp_path / "again")
    assert str(trace) not in "".join(path.read_text() for path in (tmp_path / "again").rglob("*.py"))
    assert json.loads((tmp_path / "again" / "config.json").read_text())["auto_map"].keys() == {
        "AutoConfig",
        "AutoModel",
    }
