"""Tokenizers trained in place on a small text: byte-level BPE and SentencePiece-style, the two kinds that models have.

All have ``<pad>`` 0, ``<s>`` 1 (beginning of sequence, added in front), ``</s>`` 2 (end of sequence) and ``<unk>`` 3.
"""

import string
from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>")
VOCABULARY = 600
TEXT = (
    "Please answer the question: Q: Where was Marie Curie born? A: Warsaw, the capital of Poland.",
    "Q: Which river flows through Paris? A: The Seine flows through Paris, France.",
    "The Parisian metro is old. Parisian cafés are older. Every Parisian knows a Parisian street by heart.",
    "The mother tongue of Danielle Darrieux is French. The mother tongue of Leo Tolstoy is Russian.",
    "Mount Everest is in Nepal. Lake Titicaca is in Peru. The Nile ends in Egypt. Rome is in Italy.",
    "The capital of Canada is Ottawa. The capital of Japan is Tokyo. The capital of Kenya is Nairobi.",
    "She wrote 24 books, won 3.5 million, and lives in the U.S. with J. S. Bach's music in St. Moritz.",
)
ALPHABET = string.printable[:95] + "\n\tàâçéèêëîïôöùûüñßä"


def byte_level_tokenizer(text: Sequence[str] = TEXT, vocabulary: int = VOCABULARY) -> Any:
    """Return a byte-level BPE tokenizer like that of GPT-2 and Llama 3: a space belongs to the word after it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), _beginning(tokenizer)])
    return _wrapped(tokenizer)


def metaspace_tokenizer(prefix_space: bool, text: Sequence[str] = TEXT, vocabulary: int = VOCABULARY) -> Any:
    """Return a SentencePiece-style BPE tokenizer like that of Llama 2, Mistral and Gemma: a space is the character U+2581.

    With ``prefix_space`` every text is read as if it started with a space (Llama 2), without it not (Gemma).
    """
    scheme = "always" if prefix_space else "never"
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=[*ALPHABET.replace(" ", ""), "\u2581"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.post_processor = _beginning(tokenizer)
    return _wrapped(tokenizer)


def _beginning(tokenizer: Tokenizer) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )


def _wrapped(tokenizer: Tokenizer) -> Any:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
