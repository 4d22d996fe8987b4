"""Segmenters that look words up in the dictionary of a package. Each package is imported when its segmenter is made."""

from importlib import import_module
from typing import Any

from wildcore import UserError


class Jieba:
    """Words of Chinese.

    The dictionary is read from the package each time: jieba's own cache is a file in a folder for temporary files, where
    anyone can put one.
    """

    def __init__(self) -> None:
        """Read the dictionary. Raises ``UserError`` without the package."""
        self._tokenizer = _installed("jieba", "jieba", "chinese").Tokenizer()
        self._tokenizer.FREQ, self._tokenizer.total = self._tokenizer.gen_pfdict(self._tokenizer.get_dict_file())
        self._tokenizer.initialized = True

    def segment(self, text: str) -> list[str]:
        """Return the words of ``text``."""
        return list(self._tokenizer.lcut(text))


class Janome:
    """Words of Japanese: morphemes, so that particles are words of their own."""

    def __init__(self) -> None:
        """Read the dictionary. Raises ``UserError`` without the package."""
        self._tokenizer = _installed("janome", "janome.tokenizer", "japanese").Tokenizer(wakati=True)

    def segment(self, text: str) -> list[str]:
        """Return the words of ``text``."""
        return list(self._tokenizer.tokenize(text))


class PyThaiNLP:
    """Words of Thai, by maximal matching within character clusters (newmm)."""

    def __init__(self) -> None:
        """Read the dictionary. Raises ``UserError`` without the package."""
        self._tokenize = _installed("pythainlp", "pythainlp.tokenize", "thai").word_tokenize

    def segment(self, text: str) -> list[str]:
        """Return the words of ``text``."""
        return list(self._tokenize(text, engine="newmm"))


def _installed(name: str, module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(
            f"its package cannot be imported ({error})",
            about=f"segmenter {name}",
            way_out=f"install it: pip install 'wildcore-segmenters[{extra}]'",
        ) from error
