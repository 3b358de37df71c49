"""A saved relation model is loaded by transformers alone, with the code that lies beside it."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import PreTrainedConfig
from transformers.dynamic_module_utils import get_class_from_dynamic_module

from finecl_hf import FineCLConfig, FineCLForRelationExtraction, RelationExtractionPipeline, load_relation_model
from finecl_hf.cards.code_copies import code_copies
from finecl_hf.cards.model_code import FOLDER, REFERENCES, write_model_code
from finecl_hf.encoding.encoders import load_tokenizer
from finecl_hf.extraction.adapters import add_adapters
from finecl_hf.extraction.heads import HEADS


LABELS = {"NA": 0, "born in": 1, "located in": 2, "capital of": 3}
TASKS = {"sentence": "sentence", "linear": "sentence"}  # of heads; the others are for documents
SETTINGS = {
    "prototypes": {"num_prototypes": 5},
    "evidence": {"mixed_layers": 2, "entity_markers": "typed"},
    "sentence": {"entity_markers": "punct", "loss": "softmax"},
    "linear": {"hide_names": "type", "loss": "softmax"},
}
# Whatever a process that only has torch and transformers lacks
ABSENT = ("finecl_hf", "datasets", "peft", "pyarrow", "duckdb", "pandas", "spacy", "matplotlib", "accelerate")

LOAD = """
import json, sys
from pathlib import Path
sys.modules.update(dict.fromkeys(sys.argv[3].split(), None))  # importing them fails, as if they were not installed
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, pipeline

folder, documents = sys.argv[1], json.load(open(sys.argv[2]))
extract = pipeline("relation-extraction", model=folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
assert AutoConfig.from_pretrained(folder, trust_remote_code=True).label2id == model.config.label2id
assert type(extract.model) is type(model)
for one, other in zip(extract.model.state_dict().values(), model.state_dict().values(), strict=True):
    assert torch.equal(one, other)
triples = extract(documents, threshold=-1e9)
named = pipeline("relation-extraction", model=folder, trust_remote_code=True, recogniser=sys.argv[4])
extract.save_pretrained(sys.argv[5])
again = pipeline("relation-extraction", model=sys.argv[5], trust_remote_code=True)
assert again(documents, threshold=-1e9) == triples
try:
    type(extract).from_pretrained(folder)
    raise SystemExit("this needs an import that should have failed")
except ImportError as error:
    assert "needs the package finecl_hf" in str(error)
names = [sorted(str(path.relative_to(top)) for path in Path(top).rglob("*")) for top in (folder, sys.argv[5])]
assert names[0] == names[1]
json.dump([triples, named("Ada Lovelace was born in London.", threshold=-1e9)], sys.stdout)
assert "finecl_hf.extraction" not in sys.modules
"""


def extractor(head, bert_folder, folder):
    """A pipeline with random weights that find something, saved in a folder."""
    torch.manual_seed(0)
    config = FineCLConfig.for_labels(
        LABELS, head=head, task=TASKS.get(head, "document"), max_seq_length=64, temperature=2.0,
        relation_names={"born in": "place of birth"}, entity_types=["LOC", "PER"], **SETTINGS.get(head, {}),
    )  # fmt: skip
    model = FineCLForRelationExtraction.from_encoder(bert_folder, config).eval()
    for weight in model.parameters():
        weight.data += 0.05 * torch.randn_like(weight)
    made = RelationExtractionPipeline(model, load_tokenizer(bert_folder))
    made.save_pretrained(folder)
    return made


def logits(model, made, document):
    with torch.no_grad():
        return model.eval()(**made.collator(made.encoder.rows([document]))).logits


@pytest.mark.parametrize(
    "head", [pytest.param(name, marks=() if name in ("context", "sentence") else pytest.mark.slow) for name in HEADS]
)
def test_copies_compute_what_the_package_does(head, bert_folder, ada, tmp_path, monkeypatch):
    """In this process, where the package cannot be imported for a while."""
    made = extractor(head, bert_folder, tmp_path / f"a_{head}")
    document = ada.to_dict()
    expected, triples = logits(made.model, made, ada), made(document, threshold=-1e9)
    with monkeypatch.context() as patch:
        for name in [name for name in sys.modules if name.partition(".")[0] == "finecl_hf"]:
            patch.setitem(sys.modules, name, None)
        names = [*REFERENCES["auto_map"].values(), REFERENCES["custom_pipelines"]["relation-extraction"]["impl"]]
        config_class, model_class, pipeline_class = (
            get_class_from_dynamic_module(name, str(tmp_path / f"a_{head}")) for name in names
        )
        config = config_class.from_pretrained(tmp_path / f"a_{head}")
        model = model_class.from_pretrained(tmp_path / f"a_{head}", config=config)
        assert model_class.__module__.startswith("transformers_modules.")
        assert torch.equal(logits(model, made, ada), expected) and expected.abs().sum() > 0
        assert pipeline_class(model, made.tokenizer)(document, threshold=-1e9) == triples and triples
    assert torch.equal(logits(made.model, made, ada), expected), "the copy got in the package's way"


@pytest.mark.slow
@pytest.mark.parametrize("head", ["context", "evidence", "prototypes", "sentence", "linear"])
def test_a_process_without_the_package(head, bert_folder, ada, curie, tmp_path):
    made = extractor(head, bert_folder, tmp_path / "model")
    documents = [document.to_dict() for document in (ada, curie)]
    (tmp_path / "documents.json").write_text(json.dumps(documents))
    (tmp_path / "names.tsv").write_text("Ada Lovelace\tPER\nLondon\tLOC\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.run(
        [sys.executable, "-c", LOAD, "model", "documents.json", " ".join(ABSENT), "names.tsv", "again"],
        env={**environment, "HF_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr[-3000:]
    of_names = RelationExtractionPipeline(made.model, made.tokenizer, recogniser=str(tmp_path / "names.tsv"))
    expected = [made(documents, threshold=-1e9), of_names("Ada Lovelace was born in London.", threshold=-1e9)]
    assert json.loads(process.stdout) == json.loads(json.dumps(expected)) and all(expected)
    assert RelationExtractionPipeline.from_pretrained(tmp_path / "again")(documents, threshold=-1e9) == expected[0]


def test_what_lies_beside_a_model(bert_folder, tmp_path):
    made = extractor("context", bert_folder, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert {name: config[name] for name in REFERENCES} == REFERENCES
    for name, text in code_copies().items():
        assert (tmp_path / "model" / FOLDER / name).read_text(encoding="utf-8") == text
    elsewhere = tmp_path / "elsewhere.py"
    elsewhere.write_text("mine")
    (tmp_path / "model" / FOLDER / "errors.py").unlink()
    (tmp_path / "model" / FOLDER / "errors.py").symlink_to(elsewhere)
    write_model_code(tmp_path / "model")
    assert elsewhere.read_text() == "mine", "a link was followed"
    assert json.loads((tmp_path / "model" / "config.json").read_text()) == config
    loaded = load_relation_model(tmp_path / "model")
    assert not REFERENCES.keys() & loaded.config.to_dict().keys()
    assert isinstance(PreTrainedConfig.get_config_dict(tmp_path / "model")[0]["id2label"], dict)
    shutil.rmtree(tmp_path / "model")
    made.model.save_pretrained(tmp_path / "checkpoint-7")
    assert not list((tmp_path / "checkpoint-7").rglob("*.py"))
    assert not REFERENCES.keys() & json.loads((tmp_path / "checkpoint-7" / "config.json").read_text()).keys()


def test_encoders_and_adapters_have_no_code(bert_folder, tmp_path):
    made = extractor("context", bert_folder, tmp_path / "model")
    made.model.encoder.save_pretrained(tmp_path / "encoder")
    made.model.add_adapter()
    made.model.save_pretrained(tmp_path / "switched")
    adapted = add_adapters(load_relation_model(tmp_path / "model"), r=2)
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.base_model.model.config.save_pretrained(tmp_path / "adapter")
    for name in ("encoder", "switched", "adapter"):
        write_model_code(tmp_path / name)
        assert not list((tmp_path / name).rglob("*.py"))
        assert "finecl_code" not in (tmp_path / name / "config.json").read_text()
