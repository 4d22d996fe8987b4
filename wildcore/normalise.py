"""Normalisation of answers before they are compared, as in SQuAD (Rajpurkar et al., EMNLP 2016)."""

import re
import string

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Return ``text`` in lower case, without ASCII punctuation, then without articles, with single white space."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def same(answer: str, gold: str) -> bool:
    """Compare two answers after normalisation. A gold that normalises to nothing ("The The") is compared as written."""
    wanted = normalise(gold)
    return normalise(answer) == wanted if wanted else answer.strip() == gold.strip()
