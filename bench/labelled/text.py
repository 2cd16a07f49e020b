"""Text to learn: made-up words, in sentences of a small grammar, about several topics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CLASSES, WORDS_A_CLASS, TOPICS = 5, 14, 5
END = 0
"""The token that ends a word."""


@dataclass(frozen=True)
class Language:
    """A lexicon and how its words follow each other.

    Attributes:
        vocabulary: How many tokens there are, the end of a word included.
        words: The tokens of each word, its end included.
        successors: Chances of the next class of words, shape (classes, classes).
        topics: Chances of a word within its class, shape (topics, classes, words a class).
    """

    vocabulary: int
    words: list[npt.NDArray[np.int64]]
    successors: npt.NDArray[np.float64]
    topics: npt.NDArray[np.float64]


def make_language(world: int) -> Language:
    """The language of a world: 18 to 30 tokens, words of 2 to 7 of them in a few syllables."""
    random = np.random.default_rng([world, 3])
    vocabulary = int(random.integers(18, 31))
    letters = np.arange(1, vocabulary)
    # Letters are not equally frequent in any language, here Zipf's law holds in the lexicon too.
    frequent = 1 / (2 + random.permutation(len(letters)))
    words = [
        np.append(
            random.choice(letters, size=random.integers(2, 7), p=frequent / frequent.sum()), END
        )
        for _ in range(CLASSES * WORDS_A_CLASS)
    ]
    successors = random.dirichlet(np.full(CLASSES, 0.35), size=CLASSES)
    topics = random.dirichlet(np.full(WORDS_A_CLASS, 0.25), size=(TOPICS, CLASSES))
    return Language(vocabulary, words, successors, topics)


def write_text(
    language: Language, windows: int, length: int, random: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Windows of text, each about one topic.

    Returns:
        Tokens of shape (windows, length), and the topic of each window.
    """
    topics = random.integers(0, TOPICS, size=windows)
    text = np.empty((windows, length), dtype=np.int64)
    for index, topic in enumerate(topics):
        pieces: list[npt.NDArray[np.int64]] = []
        total, kind = 0, int(random.integers(CLASSES))
        # A window may begin within a word.
        skip = int(random.integers(4))
        while total < length + skip:
            word = int(random.choice(WORDS_A_CLASS, p=language.topics[topic, kind]))
            pieces.append(language.words[kind * WORDS_A_CLASS + word])
            total += len(pieces[-1])
            kind = int(random.choice(CLASSES, p=language.successors[kind]))
        text[index] = np.concatenate(pieces)[skip : skip + length]
    return text, topics
