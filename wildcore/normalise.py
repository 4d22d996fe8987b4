"""When two answers count as the same: SQuAD's normalisation (Rajpurkar et al., EMNLP 2016)."""

import re
import string

ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, then without articles, white space made single."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def same(answer: str, gold: str) -> bool:
    """Compare two answers normalised; a gold of which normalisation leaves nothing ("The The") is compared as written."""
    wanted = normalise(gold)
    return normalise(answer) == wanted if wanted else answer.strip() == gold.strip()
