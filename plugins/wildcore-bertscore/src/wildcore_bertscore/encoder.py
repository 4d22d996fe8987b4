"""The encoder: found, checked, and loaded for the package bert-score.

The package can load encoders itself, but by the spelling of their name, in any weight format, and not with every version of
transformers. So the encoder is loaded here, and the package only compares.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from bert_score.utils import model2layers
from safetensors import SafetensorError
from transformers import AutoModel, AutoTokenizer, GPT2Tokenizer, RobertaTokenizer
from transformers.utils import logging

from wildcore import Parameter, Setting, UserError
from wildcore.models import ModelRequest, fetch_folder, load_config, pick_device

WITHOUT_POSITIONS = 512
"""Most tokens that are read at once by an encoder whose configuration sets no limit."""


@dataclass(frozen=True)
class EncoderFiles:
    """An encoder that exists and has the requested layer, not loaded yet."""

    name: str
    folder: Path
    config: Any
    layer: int
    device: torch.device


@dataclass(frozen=True)
class Encoder:
    """A loaded encoder whose last state is that of the requested layer. ``fingerprint`` is a hash of all its files."""

    network: Any
    tokenizer: Any
    files: EncoderFiles
    fingerprint: str

    def length(self, text: str) -> int:
        """Return the number of tokens of ``text``, without special tokens."""
        return len(self.tokenizer.encode(text.strip(), add_special_tokens=False, verbose=False))

    @property
    def longest(self) -> int:
        """Most tokens that are read of a text; the rest is cut off."""
        return int(self.tokenizer.model_max_length - self.tokenizer.num_special_tokens_to_add())


def find_encoder(name: str, layer: int | None, device: str) -> EncoderFiles:
    """Find the encoder's files, downloading a hub model. Raises ``UserError`` if it cannot be used."""
    with _in_the_name_of_the_metric():
        request = ModelRequest(name=name)
        folder = fetch_folder(request)
        config = load_config(request, folder)
        picked = pick_device(device)
    if not any(folder.glob("*.safetensors")):
        raise _refusal(
            name, "no .safetensors file in it; other weight formats can run code when read and are not loaded"
        )
    layers = getattr(config, "num_hidden_layers", None)
    if layers is None or getattr(config, "is_encoder_decoder", False):
        raise _refusal(name, f"a {config.model_type} is no encoder of BERT's kind", "give one such as roberta-large")
    config.num_hidden_layers = _check_layer(name, layer, layers)
    return EncoderFiles(name, folder, config, config.num_hidden_layers, picked)


def load_encoder(files: EncoderFiles) -> Encoder:
    """Load the encoder up to its layer, in float32. Raises ``UserError`` if the files are not those of an encoder."""
    try:
        network, missing = _network(files)
        tokenizer = _tokenizer(files.folder)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise _refusal(files.name, f"cannot be loaded: {error}") from error
    if missing:
        raise _refusal(files.name, f"its files lack weights that config.json asks for, such as {missing[0]}")
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise _refusal(files.name, "its tokenizer puts no marks around a text: not an encoder of BERT's kind")
    _set_bound(tokenizer, files.config)
    return Encoder(network.eval().to(files.device), tokenizer, files, _fingerprint(files.folder))


def _network(files: EncoderFiles) -> tuple[Any, list[str]]:
    """Return the network and the names of weights that are missing from the files; a pooler, which is not used, may be
    missing.
    """
    with _quiet_transformers():
        network, info = AutoModel.from_pretrained(
            files.folder,
            config=files.config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    return network, sorted(name for name in info["missing_keys"] if not name.startswith("pooler."))


def _tokenizer(folder: Path) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not isinstance(tokenizer, (GPT2Tokenizer, RobertaTokenizer)):
        return tokenizer
    # published values read the first word with a space before it; the package's option for this is ignored by transformers 5
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, add_prefix_space=True)


def _set_bound(tokenizer: Any, config: Any) -> None:
    """Give the encoder's limit to a tokenizer that has none; the package fails without one."""
    positions = getattr(config, "max_position_embeddings", None) or WITHOUT_POSITIONS
    if tokenizer.model_max_length > positions:
        # models like RoBERTa count positions from after the id of the padding
        tokenizer.model_max_length = positions - (tokenizer.pad_token_id or 0) - 1


def _check_layer(name: str, layer: int | None, layers: int) -> int:
    if layer is None and name in model2layers:
        return int(model2layers[name])
    if layer is None:
        raise UserError(
            f"the package bert-score has no layer of choice for the encoder {name}",
            "metric bert-score",
            (f"give one of 1 to {layers} with ", Setting("metric.bert-score.layer", layers)),
        )
    if layer > layers:
        raise UserError(f"the encoder {name} has layers 1 to {layers}", Parameter("metric.bert-score.layer", layer))
    return layer


def _fingerprint(folder: Path) -> str:
    digest = sha256()
    for file in sorted([*folder.glob("*.json"), *folder.glob("*.txt"), *folder.glob("*.safetensors")]):
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()[:16]


def _refusal(name: str, reason: str, way_out: str | None = None) -> UserError:
    return UserError(reason, Parameter("metric.bert-score.encoder", name), way_out)


@contextmanager
def _in_the_name_of_the_metric() -> Iterator[None]:
    """Name the metric's parameter in errors of the core that name an option for the edited model."""
    try:
        yield
    except UserError as error:
        names = {
            "model": lambda name: Parameter("metric.bert-score.encoder", name),
            "device": lambda name: Parameter("metric.bert-score.device", name),
        }
        renamed = error.renamed(names)
        raise (renamed.within("metric bert-score") if renamed.about == error.about else renamed) from error


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers from reporting the layers that are left out on purpose, and from drawing a bar."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()
