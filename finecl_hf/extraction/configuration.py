"""Configuration of the relation model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

from finecl_hf.encoding.encoders import hub_arguments
from finecl_hf.errors import FineCLError


if TYPE_CHECKING:
    from finecl_hf.encoding.features import DocumentEncoder


class FineCLConfig(PreTrainedConfig):
    """Encoder configuration plus everything that turns its output into relations.

    The label set is `id2label` / `label2id`, with NA at 0.

    Args:
        text_config: configuration of the encoder.
        relation_names: readable name of each relation id, where known (`{"P19": "place of birth"}`).
        task: `document` (any number of relations a pair, threshold) or `sentence` (exactly one label a pair).
        head: classifier of entity pairs, see [`~finecl_hf.extraction.heads`]; `bilinear` is the paper's.
        loss: `bce` (paper), `softmax`, `adaptive_threshold` (ATLOP), or one for labels of which many are missing,
            `pu_bce` or `pu_ranking` (SSR-PU).
        label_priors: what the latter are told of each relation: the share of all training pairs that carries its label
            and the share that truly has it, see [`~finecl_hf.extraction.label_priors`].
        mixed_layers: the weighted mean of so many of the encoder's last layers is read, with weights that are learned.
        entity_size: size that entity vectors are projected to (paper: 128).
        distance_size: size of the distance embedding (paper: 20).
        block_size: of the blocks of the grouped bilinear form (`atlop`; ATLOP: 64, which takes four times as long).
        head_size: of the hidden layer over pairs (`context`, `sentence`); entity_types: the types that it tells apart;
            type_size: of their embedding; head_dropout: its dropout.
        evidence_weight: of the loss of evidence sentences beside that of relations (`evidence`; DREEAM: 0.1).
        num_prototypes: (`prototypes`) 0 makes one for each relation; num_neighbours: those nearest to a pair that have
            a vote, all if 0; prototype_temperature: of their cosines.
        threshold: a relation is predicted where its score exceeds this; fitted on validation data.
        relation_thresholds: those of single relations, by id, in place of `threshold`; None or empty without.
        temperature, score_bias: turn scores into probabilities, see [`~finecl_hf.extraction.calibration`]; fitted with
            the threshold.
        type_constraints: the types of head and tail that a relation allows, see
            [`~finecl_hf.extraction.type_constraints`]; None where all do.
        max_seq_length: tokens that the encoder reads at a time.
        long_documents: what happens to longer documents: `windows` reads them in overlapping parts, `truncate` cuts.
        entity_markers: `none`, `asterisk`, `punct` or `typed`, see [`~finecl_hf.encoding.words.MARKERS`].
        hide_names: `none`, or what stands in place of each mention: `type` or `mask`.
        base_encoder: the encoder that training started from, see [`~finecl_hf.extraction.base_encoder.describe_base`].
        onnx: of an ONNX export, what was exported, see [`~finecl_hf.extraction.onnx_export`].
    """

    model_type = "finecl"
    sub_configs_defaults = {"text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert")}

    text_config: dict | PreTrainedConfig | None = None
    relation_names: dict | None = None
    task: str = "document"
    head: str = "bilinear"
    loss: str = "adaptive_threshold"
    label_priors: dict | None = None
    mixed_layers: int = 1
    entity_size: int = 128
    distance_size: int = 20
    block_size: int = 16
    head_size: int = 512
    head_dropout: float = 0.1
    type_size: int = 32
    entity_types: list | None = None
    evidence_weight: float = 0.1
    num_prototypes: int = 0
    num_neighbours: int = 0
    prototype_temperature: float = 0.1
    threshold: float = 0.0
    relation_thresholds: dict | None = None
    temperature: float = 1.0
    score_bias: float = 0.0
    type_constraints: dict | None = None
    max_seq_length: int = 512
    long_documents: str = "windows"
    entity_markers: str = "none"
    hide_names: str = "none"
    base_encoder: dict | None = None
    onnx: dict | None = None

    @classmethod
    def for_labels(cls, label2id: dict[str, int], **settings) -> FineCLConfig:
        """A configuration for a label set (NA at 0)."""
        return cls(label2id=label2id, id2label={i: label for label, i in label2id.items()}, **settings)

    @classmethod
    def for_encoder(cls, encoder: DocumentEncoder, **settings) -> FineCLConfig:
        """A configuration for the label set of a [`DocumentEncoder`], which says how its documents were laid out."""
        layout = {name: getattr(encoder, own) for name, own in ENCODER_SETTINGS.items()}
        return cls.for_labels(encoder.label2id, **{**layout, **settings})

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> FineCLConfig:
        """As of any configuration. What it says of code beside the model is for processes without this package."""
        if __name__.startswith("finecl_hf."):  # not a copy of this file, see `cards.code_copies`
            from finecl_hf.cards.model_code import without_references

            config_dict = without_references(config_dict)
        return super().from_dict(config_dict, **kwargs)

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoConfig") -> None:
        """Nothing: a model is saved with the code of all its classes."""

    @classmethod
    def of_relation_model(cls, name_or_path: str, **kwargs: Any) -> FineCLConfig:
        """The configuration of a relation model or an adapter; arguments that a configuration does not take are left.

        Raises:
            FineCLError: something else lies there.
        """
        raw, _ = cls.get_config_dict(name_or_path, **hub_arguments(kwargs))
        if not isinstance(raw, dict) or raw.get("model_type") != cls.model_type:
            kind = raw.get("model_type") if isinstance(raw, dict) else "no configuration"
            if kind is None:
                raise FineCLError(
                    f"{name_or_path}: config.json is missing, or says no model_type; copy the whole folder of a "
                    "relation model or an adapter, or write it again with run_finetune.py."
                )
            raise FineCLError(
                f"{name_or_path}: holds no relation model, only an encoder ({kind}); fine-tune it with "
                "run_finetune.py, and name that run's output folder."
            )
        if not raw.get("id2label"):  # transformers would take two labels of its own, whatever the weights are for
            raise FineCLError(
                f"{name_or_path}: config.json names no relations (id2label); copy the whole folder again."
            )
        encoder = raw.get("text_config") if isinstance(raw.get("text_config"), dict) else {}
        for size, value in [*raw.items(), *encoder.items()]:
            if isinstance(value, int) and value > _LARGEST.get(size, MOST):
                raise FineCLError(f"{name_or_path}: config.json asks for {size} {value:,}, which no model has.")
        return cls.from_dict(raw)

    @property
    def shares(self) -> list[list[float]]:
        """(R, 2) `label_priors` in the order of ids; zeros for a relation without a label."""
        return [(self.label_priors or {}).get(self.id2label[i], [0.0, 0.0]) for i in range(self.num_labels)]

    def check(self) -> None:
        """
        Raises:
            FineCLError: a setting has a value that means nothing: a configuration may come from anybody.
        """
        from finecl_hf.encoding.words import MARKERS

        for name, values in {**_CHOICES, "entity_markers": ("none", *MARKERS)}.items():
            if getattr(self, name) not in values:
                raise FineCLError(f'there is no {name} "{getattr(self, name)}"; it is one of {", ".join(values)}.')
        for name, (least, most) in _WHOLE.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise FineCLError(f"{name} is {value!r}, where a whole number from {least} to {most:,} is expected.")
        for name, (above, most) in _NUMBERS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not above < value <= most:
                raise FineCLError(
                    f"{name} is {value!r}, where a number above {above:g} and up to {most:g} is expected."
                )
        for name, kind in _KINDS.items():
            if not isinstance(getattr(self, name), (kind, type(None))):
                raise FineCLError(f"{name} is {getattr(self, name)!r:.60}, where a {kind.__name__} is expected.")
        if not all(isinstance(entity_type, str) for entity_type in self.entity_types or ()):
            raise FineCLError("entity_types holds what is no text.")
        self._check_relations()
        if getattr(self.text_config, "num_hidden_layers", None) == 0:
            raise FineCLError("the encoder has no layer (num_hidden_layers is 0).")

    def _check_relations(self) -> None:
        """The label set, and what is said of its relations."""
        labels = self.label2id
        if not isinstance(labels, dict) or {i: label for label, i in labels.items()} != self.id2label:
            raise FineCLError("label2id and id2label do not say the same.")
        if sorted(self.id2label) != list(range(len(self.id2label))):
            raise FineCLError("the numbers of id2label do not go from 0 on, one by one.")
        for name in ("relation_thresholds", "type_constraints", "label_priors"):
            if unknown := (getattr(self, name) or {}).keys() - labels.keys():
                raise FineCLError(f'{name} is about "{min(map(str, unknown))}", which is no relation of the model.')
        for relation, threshold in (self.relation_thresholds or {}).items():
            if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or threshold != threshold:
                raise FineCLError(f"the threshold of {relation} is {threshold!r}, where a number is expected.")
        for relation, shares in (self.label_priors or {}).items():
            if not _are_shares(shares):
                raise FineCLError(
                    f"label_priors of {relation}: two shares are expected, above 0 and up to 1, the second no smaller."
                )
        for relation, pairs in (self.type_constraints or {}).items():
            if not isinstance(pairs, list) or not all(_is_pair_of_types(pair) for pair in pairs):
                raise FineCLError(f"type_constraints of {relation}: a list of [head type, tail type] is expected.")


def _are_shares(shares: Any) -> bool:
    """Whether this is a labelled share and a true share."""
    if not isinstance(shares, (list, tuple)) or len(shares) != 2:
        return False
    if any(isinstance(share, bool) or not isinstance(share, (int, float)) for share in shares):
        return False
    return 0 < shares[0] <= shares[1] <= 1


def _is_pair_of_types(pair: Any) -> bool:
    return isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(kind, str) for kind in pair)


# What documents are encoded by, as it is called here and in `DocumentEncoder`
ENCODER_SETTINGS = {
    "max_seq_length": "max_length",
    "long_documents": "long_documents",
    "entity_markers": "entity_markers",
    "hide_names": "hide_names",
}
# On validation documents; they belong to the weights
FITTED = ("threshold", "relation_thresholds", "temperature", "score_bias")
MOST = 100_000_000  # of anything; the configuration may come from anybody
_LARGEST = {"num_hidden_layers": 1000} | dict.fromkeys(
    ("hidden_size", "entity_size", "distance_size", "block_size", "head_size", "type_size"), 100_000
)
_CHOICES = {
    "task": ("document", "sentence"),
    "long_documents": ("windows", "truncate"),
    "hide_names": ("none", "type", "mask"),
}
_WHOLE = {  # the least and the most
    "max_seq_length": (1, MOST),
    "mixed_layers": (1, 1000),
    "num_prototypes": (0, 1_000_000),
    "num_neighbours": (0, MOST),
    **dict.fromkeys(("entity_size", "distance_size", "block_size", "head_size", "type_size"), (1, 100_000)),
}
_LOGIT = (-math.inf, math.inf)
_NUMBERS = {  # above the one, up to the other
    "threshold": _LOGIT,
    "score_bias": _LOGIT,
    "temperature": (0, math.inf),
    "prototype_temperature": (0, math.inf),
    "evidence_weight": (-1, math.inf),
    "head_dropout": (-1e-9, 0.999),
}
_KINDS = {
    "relation_names": dict,
    "relation_thresholds": dict,
    "type_constraints": dict,
    "label_priors": dict,
    "entity_types": list,
    "base_encoder": dict,
    "onnx": dict,
}


AutoConfig.register(FineCLConfig.model_type, FineCLConfig)
