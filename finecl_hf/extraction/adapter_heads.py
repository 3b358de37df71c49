"""Adapters of several tasks on one encoder: each brings its head and its configuration, and is switched to by name.

The calls are those of transformers (`PeftAdapterMixin`), which keeps adapters in the encoder's layers and, through
peft's `modules_to_save`, a copy of the head for each. All that is added here is that a head may have another shape,
and that `model.config` follows the active adapter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch

from finecl_hf.encoding.encoders import hub_arguments, loading_from, without_loading_report
from finecl_hf.encoding.packing import enable_packing
from finecl_hf.errors import FineCLError
from finecl_hf.extraction.adapters import for_encoder, read_adapter_config
from finecl_hf.extraction.base_encoder import describe_base, other_weights
from finecl_hf.extraction.configuration import FineCLConfig
from finecl_hf.extraction.heads import RelationHead, head_class


if TYPE_CHECKING:
    from peft import LoraConfig


class AdapterHeads:
    """What `FineCLForRelationExtraction` does with adapters, in front of `PeftAdapterMixin` in its bases.

    Example:
        >>> model = FineCLForRelationExtraction.from_pretrained("outputs/people")  # an adapter's folder
        >>> model.load_adapter("outputs/proteins", adapter_name="proteins")
        >>> model.set_adapter("proteins")
        >>> model.config.label2id  # that of the proteins
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._adapter_configs: dict[str, FineCLConfig] = {}
        self._own_config: FineCLConfig | None = None  # while there are adapters: of the head without any

    def add_adapter(
        self,
        adapter_config: LoraConfig | None = None,
        adapter_name: str | None = None,
        config: FineCLConfig | None = None,
    ) -> None:
        """Adds a new adapter, makes it the active one, and freezes all weights but its own and its head's.

        Args:
            adapter_config: peft's; where it names no layers, see [`~finecl_hf.extraction.adapters.for_encoder`].
            adapter_name: `default` by default.
            config: label set, head and so on of its task, for a new head; by default the model's, with a copy of its
                head.

        Raises:
            FineCLError: there is an adapter of that name.
        """
        from peft import LoraConfig

        name = adapter_name or "default"
        self._check_new(name)
        head = None if config is None else self._new_head(config)
        config = deepcopy(self.config) if config is None else config
        config.text_config, config.base_encoder = self.encoder.config, self._base()
        with self._new_task(name, config, head):
            super().add_adapter(for_encoder(adapter_config or LoraConfig(), self.encoder), name)
        adapter = self.peft_config[name]
        adapter.base_model_name_or_path = config.base_encoder["name_or_path"]
        adapter.revision = config.base_encoder["revision"]

    def load_adapter(
        self,
        peft_model_id: str,
        adapter_name: str | None = None,
        check_base: bool = True,
        is_trainable: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Loads an adapter with its head and configuration, and makes it the active one.

        Args:
            peft_model_id: output folder of `run_finetune.py --use_lora` or of `save_pretrained`, or a Hub id.
            adapter_name: `default` by default.
            check_base: whether the adapter has to have been trained on this model's encoder.
            is_trainable: whether it is to be trained on.
            kwargs: what says where on the Hub it lies, such as `revision`; the rest is passed on to transformers.

        Raises:
            FineCLError: nothing fitting lies there; or it was trained on another encoder; or the name is taken.
        """
        name = adapter_name or "default"
        self._check_new(name)
        hub = hub_arguments(kwargs)
        with loading_from(peft_model_id):
            adapter = read_adapter_config(peft_model_id, **hub)
            config = FineCLConfig.of_relation_model(peft_model_id, **hub)
            if check_base and (told := other_weights(config.base_encoder, self._base())):
                raise FineCLError(
                    f"{peft_model_id}: this adapter was trained on {told}; load it by itself (load_relation_model), "
                    "or, if you want it on this encoder all the same, with check_base=False."
                )
            with self._new_task(name, config, self._new_head(config)):
                report = self._load_weights(
                    peft_model_id, name, adapter_kwargs=hub, peft_config=adapter, is_trainable=is_trainable,
                    **{one: value for one, value in kwargs.items() if one not in hub},
                )  # fmt: skip
                super().set_adapter(name)  # the layers follow what is loaded, the head does not
        if not is_trainable:
            self.requires_grad_(False)
        return report

    def set_adapter(self, adapter_name: str | list[str]) -> None:
        """Switches to an adapter: its weights, its head, its configuration.

        Raises:
            FineCLError: there is none of that name; or several are asked for, which have a head each.
        """
        names = [adapter_name] if isinstance(adapter_name, str) else list(adapter_name)
        known = list(getattr(self, "peft_config", {}))
        if len(names) != 1 or names[0] not in known:
            raise FineCLError(
                f"set_adapter({adapter_name!r}): name one adapter of {', '.join(known) or 'none'}; each has a head of "
                "its own, so that one is active at a time."
            )
        super().set_adapter(names[0])
        self._follow()

    def delete_adapter(self, adapter_names: str | list[str]) -> None:
        """Deletes adapters with their heads; without any, the model is what it was before."""
        super().delete_adapter(adapter_names)
        for name in [adapter_names] if isinstance(adapter_names, str) else adapter_names:
            del self._adapter_configs[name]
        self._follow()

    def disable_adapters(self) -> None:
        """Uses encoder and head as they are without adapters."""
        super().disable_adapters()
        self._follow()

    def enable_adapters(self) -> None:
        """Uses the active adapter again."""
        super().enable_adapters()  # which leaves heads as they are
        self.relation_head.enable_adapters(True)
        self._follow()

    def save_pretrained(self, save_directory: str, **kwargs: Any) -> None:
        """As of any model of transformers; of adapters, the active one, with its head and configuration.

        Beside a model without adapters goes the code that loads it where this package is not installed.
        """
        from finecl_hf.cards.model_code import write_model_code

        super().save_pretrained(save_directory, **kwargs)
        if not kwargs.get("is_main_process", True):
            return
        if self._adapter_configs:
            self.config.save_pretrained(save_directory)
        else:
            write_model_code(save_directory)

    def _check_new(self, name: str) -> None:
        if name in getattr(self, "peft_config", {}):
            raise FineCLError(f"there is an adapter {name} already; choose another adapter_name, or delete it.")

    def _new_head(self, config: FineCLConfig) -> RelationHead:
        """An initialised head, where the model lies; the configuration is completed by the encoder's."""
        config.text_config = self.encoder.config
        head = head_class(config.head)(config)
        head.apply(self._init_weights)
        return head.to(self.device, self.dtype)

    def _load_weights(self, source: str, name: str, **options: Any) -> Any:
        """As transformers, which would report all weights that are not in the file, those of other adapters too."""
        with without_loading_report():
            report = super().load_adapter(source, name, **options)
        missing = sorted(key for key in report.missing_keys if f".{name}." in key)
        # transformers does not know by which names peft saves the sizes of DoRA
        if missing and all("lora_magnitude_vector" in key for key in missing):
            from peft.utils import load_peft_weights, set_peft_model_state_dict

            saved = load_peft_weights(source, device="cpu", **options["adapter_kwargs"])
            own = {key.removeprefix("base_model.model."): weight for key, weight in saved.items()}
            found = set_peft_model_state_dict(self, own, name).missing_keys
            missing = sorted(key for key in found if f".{name}." in key)
        if missing:
            raise FineCLError(
                f"{source}: lacks {len(missing)} weights of the adapter or its head, such as {missing[0]}; write or "
                "download it again."
            )
        return report

    @contextmanager
    def _new_task(self, name: str, config: FineCLConfig, head: RelationHead | None) -> Iterator[None]:
        """While an adapter is made, its head lies where peft takes the copy for the adapter from.

        Where that fails, nothing is left of it.
        """
        if not self._adapter_configs:
            self._own_config = self.config
        self._adapter_configs[name] = config
        before = self.active_adapters() if len(self._adapter_configs) > 1 else []
        own = self._swap_head(head) if head is not None else None
        try:
            with warnings.catch_warnings():  # peft's, of several adapters, which are what this is for
                warnings.filterwarnings("ignore", "Already found a `peft_config` attribute")
                yield
        except BaseException:
            self._restore_head(own)
            if name in getattr(self, "peft_config", {}):
                super().set_adapter(name)  # layers and head alike, which deleting takes for granted
                super().delete_adapter(name)
            del self._adapter_configs[name]
            for active in before:
                super().set_adapter(active)
            self._follow()
            raise
        self._restore_head(own)
        self._follow()

    def _swap_head(self, head: RelationHead) -> RelationHead:
        """Puts a head in the place of the model's own, which is returned."""
        if self._is_wrapped():
            own, self.relation_head.original_module = self.relation_head.original_module, head
        else:
            own, self.relation_head = self.relation_head, head
        return own

    def _is_wrapped(self) -> bool:
        """Whether the head is peft's wrapper around those of all adapters."""
        from peft.utils import ModulesToSaveWrapper

        return isinstance(self.relation_head, ModulesToSaveWrapper)

    def _restore_head(self, own: RelationHead | None) -> None:
        if own is not None:
            self._swap_head(own)
        if self._is_wrapped():
            self.relation_head.original_module.requires_grad_(False)

    def _follow(self) -> None:
        """Makes the configuration, and what the encoder has to tell the head, those of the head in use."""
        if not self._adapter_configs:
            self.config = self._own_config
            self._unwrap()
        elif self.relation_head.disable_adapters:
            self.config = self._own_config
        else:
            (active,) = self.active_adapters()
            self.config = self._adapter_configs[active]
            for name, head in self.relation_head.modules_to_save.items():
                if name != active:  # which peft leaves as it was when it makes another one
                    head.requires_grad_(False)
        enable_packing(self.encoder, head_class(self.config.head).reads_attention)

    def _unwrap(self) -> None:
        """Without adapters, layers and head are again those that peft has wrapped."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, layer in list(self.named_modules()):
            if isinstance(layer, BaseTunerLayer):
                self.set_submodule(name, layer.get_base_layer())
        if self._is_wrapped():
            self.relation_head = self.relation_head.original_module
        self.make_trainable()

    def _base(self) -> dict[str, Any]:
        """What an adapter has to remember of this encoder, see [`~finecl_hf.extraction.base_encoder.describe_base`].

        An encoder that was trained since it was loaded has no name: it has to be saved first.
        """
        known = (self._own_config if self._adapter_configs else self.config).base_encoder or {}
        if self.encoder.dtype != torch.float32 and known:  # its digest is of float32
            return known
        found = describe_base(self.name_or_path, None, self.encoder)
        return known if known.get("weights") == found["weights"] else found
