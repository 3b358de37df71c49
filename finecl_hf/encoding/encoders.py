"""How an encoder is to be loaded, whatever its architecture."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from finecl_hf.errors import LIBRARIES, FineCLError, raised_in


logger = logging.getLogger(__name__)


def keep_bars_out_of_logs() -> None:
    """Progress bars of loading and of `datasets` are for terminals: each of their states is a line of a log."""
    if not sys.stderr.isatty():
        import datasets

        datasets.disable_progress_bars()
        transformers_logging.disable_progress_bar()


# What says where on the Hub, or in its cache, something lies: configurations and tokenizers take it as models do
HUB_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")  # an architecture has one of these names


def loading_options(name_or_path: str, attention_dropout: float | None = None, **kwargs: Any) -> dict[str, Any]:
    """Keyword arguments for `from_pretrained`.

    Args:
        name_or_path: folder or Hub id.
        attention_dropout: in place of the encoder's own; with 0, CPUs have a kernel that is about twice as fast. None,
            or an architecture without attention dropout, leaves everything as it is.
        kwargs: passed through, such as `revision`. Code that lies beside a model is run only where
            `trust_remote_code=True` is among them: transformers would ask, in a terminal.
    """
    kwargs["trust_remote_code"] = bool(kwargs.get("trust_remote_code"))
    if attention_dropout is None:
        return kwargs
    with loading_from(name_or_path):
        config = AutoConfig.from_pretrained(name_or_path, **kwargs)
    for name in ATTENTION_DROPOUT:
        if hasattr(config.get_text_config(), name):
            setattr(config.get_text_config(), name, attention_dropout)
    return {**kwargs, "config": config}


def hub_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Those keyword arguments of `from_pretrained` that are in [`HUB_ARGUMENTS`] and are given."""
    return {name: value for name, value in kwargs.items() if name in HUB_ARGUMENTS and value is not None}


@contextmanager
def without_loading_report() -> Iterator[None]:
    """Keeps transformers from telling at length which weights do not fit; whoever loads says what matters of that."""
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)


def warn_of_missing_weights(name: str, missing: Iterable[str]) -> None:
    """Says which weights of an encoder its checkpoint lacks; a pooler is never read.

    Args:
        name: folder or Hub id.
        missing: the encoder's keys that transformers did not find.
    """
    missing = [key for key in missing if "pooler" not in key]
    if missing:
        logger.warning(
            "%s lacks %d weights of its encoder, which start at random: %s ...", name, len(missing), missing[0]
        )


@contextmanager
def loading_from(name, flag=""):
    """Turns what goes wrong while something is loaded into one sentence.

    Args:
        name: a folder or Hub id.
        flag: the option that named it, such as `--model_name_or_path`.

    Raises:
        FineCLError: no such folder or Hub id, nothing fitting in it, damaged weights.
    """
    name = os.fspath(name)
    source = f"{flag} {name}".strip()
    missing = f"{source}: no such folder, and no such model on the Hub; check the spelling, or log in."
    if (name.startswith(("/", ".", "~")) or name.count("/") > 1) and not os.path.exists(name):  # cannot be a Hub id
        raise FineCLError(missing)
    if os.path.isfile(name):
        raise FineCLError(f"{source}: this is a file; name the folder of a model, or its Hub id.")
    try:
        yield
    except FineCLError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        if "is not a valid model identifier" in str(error):
            raise FineCLError(missing) from error
        if "trust_remote_code" in str(error):
            raise FineCLError(
                f"{source}: needs code that lies beside it, and that is not run unasked; read it, and where you trust "
                "it, load the model in Python with trust_remote_code=True."
            ) from error
        elsewhere = isinstance(error, OSError) and "/" in name and not os.path.exists(name)
        told = "no such folder, and it cannot be loaded from the Hub" if elsewhere else "cannot be loaded"
        raise FineCLError(f"{source}: {told}. {_why(name, error)}") from error
    except Exception as error:  # whatever a configuration can bring about; SafetensorError derives from nothing else
        if type(error).__name__ == "SafetensorError":
            raise FineCLError(f"{source}: the weights are damaged ({error}); download or write them again.") from error
        if not raised_in(error, (*LIBRARIES, "torch", "tokenizers")) or "unexpected keyword argument" in str(error):
            raise  # in Python, an argument that is misspelt says so itself
        reason = " ".join(str(error).split())[:200]
        raise FineCLError(
            f"{source}: cannot be loaded ({type(error).__name__}: {reason}); its configuration is damaged, or belongs "
            "to another version of transformers."
        ) from error


def _why(name: str, error: Exception) -> str:
    """What keeps a folder or a repository from being loaded, and what to do, on one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = " ".join(" ".join(lines).split())[:300] if lines[0].endswith(":") else lines[0]
    if reason.startswith("Repo id must"):  # the Hub is asked for what a folder lacks
        return "Files of the model, such as its weights, are missing there; copy the whole folder again."
    about_config = "config.json" in reason or reason.startswith("Unrecognized model")
    if about_config and os.path.isdir(name) and not os.path.exists(os.path.join(name, "config.json")):
        if any(file.startswith("checkpoint-") for file in os.listdir(name)):
            return "The run that writes there has not finished; start it again, or name one of its checkpoints."
        return "No config.json there says what model it is; name the output folder of a run, or a Hub id."
    if isinstance(error, OSError) and "connect to" in reason:
        return f"{reason} Without a connection, copy its folder here from a machine that has one, and name the folder."
    return reason


@contextmanager
def running_on(device: Any) -> Iterator[None]:
    """Turns a device that is not there, is full or means nothing into one sentence."""
    if str(device).partition(":")[0] == "meta":  # torch takes a model there, and fails at its first batch
        raise FineCLError(f"device {device}: it holds no numbers, so that no model can run there; name another one.")
    try:
        yield
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        if device is None or not raised_in(error, (*LIBRARIES, "torch")):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise FineCLError(f"device {device}: the model cannot run there ({reason}); name another one.") from error


# Encoders whose position ids start behind the padding id, so that not all of their positions can be used.
SHIFTED_POSITIONS = {
    "camembert", "data2vec-text", "ibert", "longformer", "luke", "markuplm", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip


def load_tokenizer(name_or_path: str, trust_remote_code: bool | None = None, **kwargs: Any) -> PreTrainedTokenizerBase:
    """A fast tokenizer that starts every word alike (byte-level BPE needs `add_prefix_space` for that).

    Args:
        trust_remote_code: whether code that lies beside it may be run.

    Raises:
        FineCLError: there is none, or it is of no use here.
    """
    with loading_from(name_or_path):
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                name_or_path, add_prefix_space=True, trust_remote_code=bool(trust_remote_code), **kwargs
            )
        except ValueError as error:
            if "backend tokenizer" not in str(error):
                raise
            raise FineCLError(
                f"{name_or_path}: holds no tokenizer that can be read; copy its files (tokenizer.json) there, or name "
                "another folder."
            ) from error
    if not tokenizer.is_fast:
        raise FineCLError(f"{name_or_path} has no fast tokenizer, which is needed to map mentions to tokens.")
    if len(tokenizer) <= len(tokenizer.all_special_tokens):  # what transformers makes of a folder without its files
        raise FineCLError(f"{name_or_path} holds no tokenizer; copy the files of one there, or name another folder.")
    if tokenizer.pad_token_id is None:
        raise FineCLError(f"{name_or_path}: the tokenizer has no padding token; take an encoder's tokenizer.")
    return tokenizer


def max_length_for(tokenizer: PreTrainedTokenizerBase, config, requested: int | None = None) -> int:
    """The longest input the encoder takes, or `requested` if that is shorter.

    Raises:
        FineCLError: `requested` is longer than the encoder's positions.
    """
    positions = getattr(config, "max_position_embeddings", None) or 512  # relative-position models may have none
    if config.model_type in SHIFTED_POSITIONS:
        positions -= config.pad_token_id + 1
    longest = min(positions, tokenizer.model_max_length)
    if requested is None:
        return longest
    if not 8 <= requested <= longest:
        raise FineCLError(f"--max_seq_length {requested} is out of range; this encoder takes 8 to {longest} tokens.")
    return requested
