"""Features of captions without a network: hashed words and pairs of words.

Two texts are close if they have words in common; synonyms are not. CLIP's text encoder takes over where its
folder is given.

Legend: N texts, D dimensions.
"""

import numpy as np

NUM_FEATURES = 1024


def text_rows(texts: list[str]) -> np.ndarray:
    """Return unit rows [N, D], zeros for an empty text."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        n_features=NUM_FEATURES, ngram_range=(1, 2), stop_words="english", alternate_sign=True, norm="l2"
    )
    return vectorizer.transform([_stem(text) for text in texts]).toarray().astype(np.float32)


def _stem(text: str) -> str:
    """Return a text whose words have lost common endings, so that "runs" and "running" are "run"."""
    return " ".join(_stem_word(word) for word in text.lower().split())


def _stem_word(word: str) -> str:
    word = word.strip(".,;:!?\"'()")
    for ending in ("ning", "ming", "ping", "ting", "ing", "es", "s", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word.removesuffix("e")
