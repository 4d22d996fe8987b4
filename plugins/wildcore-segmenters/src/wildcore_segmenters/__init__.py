"""Segmenters by dictionary, for metrics on words of Chinese, Japanese and Thai texts."""

from collections.abc import Iterable

from wildcore import Offer, Segmenter, hookimpl, lazy


@hookimpl
def wildcore_segmenters() -> Iterable[Offer[Segmenter]]:
    """Offer one segmenter for each language. Each needs a package that is installed with the extra of its language."""
    return [
        Offer(
            "jieba",
            lazy("wildcore_segmenters.dictionaries:Jieba"),
            summary="words of Chinese, by the package jieba",
            cites="Sun, jieba, github.com/fxsjy/jieba",
        ),
        Offer(
            "janome",
            lazy("wildcore_segmenters.dictionaries:Janome"),
            summary="words of Japanese (morphemes), by the package janome",
            cites="Uchida, Janome, github.com/mocobeta/janome",
        ),
        Offer(
            "pythainlp",
            lazy("wildcore_segmenters.dictionaries:PyThaiNLP"),
            summary="words of Thai, by the package pythainlp (newmm)",
            cites="Phatthiyaphaibun et al., PyThaiNLP, NLP-OSS 2023",
        ),
    ]
