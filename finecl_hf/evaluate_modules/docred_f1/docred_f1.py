"""DocRED's F1 and Ign F1 as an `evaluate` module."""

import json

import datasets
import evaluate

from finecl_hf.errors import FineCLError
from finecl_hf.metrics import docred_scores


_DESCRIPTION = """
Scores document-level relation extraction as DocRED's official script does: precision, recall and F1 over predicted
facts; Ign F1, which leaves facts seen in training out of the precision; F1 of facts within and across sentences.
With the configuration "evidence" also F1 over the evidence sentences of the predicted facts.
"""

_CITATION = """
@inproceedings{yao-etal-2019-docred,
    title = "{D}oc{RED}: A Large-Scale Document-Level Relation Extraction Dataset",
    author = "Yao, Yuan and Ye, Deming and Li, Peng and Han, Xu and Lin, Yankai and Liu, Zhenghao and Liu, Zhiyuan and
      Huang, Lixin and Zhou, Jie and Sun, Maosong",
    booktitle = "Proceedings of the 57th Annual Meeting of the Association for Computational Linguistics",
    year = "2019",
}
"""

_INPUTS = """
Args:
    predictions: for each document a list of facts {"h_idx": int, "t_idx": int, "r": str}; with the configuration
        "evidence" each fact also has "evidence": list[int], its sentence numbers.
    references: for each document its JSON text, such as `finecl_hf.Document.to_json()` gives; DocRED's layout.
    train_documents: the training documents, whose facts Ign F1 ignores: JSON texts, DocRED's dicts or `Document`s.

Returns:
    f1, ign_f1, precision, recall, intra_f1, inter_f1 and, with the configuration "evidence", evidence_f1: fractions.
"""


class DocredF1(evaluate.Metric):
    """`evaluate`'s face of [`finecl_hf.metrics.docred_scores`]; predictions and references are aligned by position.

    Loaded by `evaluate.load(docred_f1_path())`, or `evaluate.load(docred_f1_path(), "evidence")`.
    """

    def _info(self):
        fact = {"h_idx": datasets.Value("int32"), "t_idx": datasets.Value("int32"), "r": datasets.Value("string")}
        if self.config_name == "evidence":
            fact["evidence"] = datasets.List(datasets.Value("int32"))
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": datasets.List(fact), "references": datasets.Value("string")}),
            reference_urls=["https://github.com/thunlp/DocRED"],
        )

    def _compute(self, predictions, references, train_documents=None):
        # Rows belong to their document by position, whatever its title.
        documents = [{**_parse(text, f"references[{i}]"), "title": str(i)} for i, text in enumerate(references)]
        rows = [{"title": str(i), **fact} for i, facts in enumerate(predictions) for fact in facts]
        if train_documents is not None:
            train_documents = [
                _parse(document, f"train_documents[{i}]") if isinstance(document, str) else document
                for i, document in enumerate(train_documents)
            ]
        scores = docred_scores(rows, documents, train_documents)
        if self.config_name != "evidence":
            del scores["evidence_f1"]  # zero would look like a result
        return scores


def _parse(text, where):
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FineCLError(f"{where} is not JSON ({error}); give Document.to_json().") from None
    if not isinstance(document, dict):
        raise FineCLError(f"{where} is no document; give Document.to_json().")
    return document
