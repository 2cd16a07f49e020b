"""Names in other languages, put into English so that one table of names serves all."""

from __future__ import annotations

import re
from functools import lru_cache

_ENGLISH: dict[str, str] = {
    # French, German, Spanish, Portuguese, Italian
    "époque": "epoch", "epoche": "epoch", "época": "epoch", "epoca": "epoch",
    "étape": "step", "schritt": "step", "paso": "step", "passo": "step",
    "itération": "iteration", "iteración": "iteration", "iteração": "iteration",
    "iterazione": "iteration",
    "perte": "loss", "verlust": "loss", "pérdida": "loss", "perda": "loss", "perdita": "loss",
    "fehler": "error", "erreur": "error", "errore": "error",
    "genauigkeit": "accuracy", "exactitude": "accuracy", "exactitud": "accuracy",
    "acurácia": "accuracy", "accuratezza": "accuracy", "précision": "precision",
    "precisión": "precision", "precisão": "precision",
    "lernrate": "learning rate", "belohnung": "reward", "récompense": "reward",
    "recompensa": "reward",
    "entraînement": "train", "entrenamiento": "train", "treinamento": "train",
    "validierung": "val", "validación": "val", "validação": "val",
    # Russian
    "эпоха": "epoch", "шаг": "step", "итерация": "iteration", "потери": "loss", "потеря": "loss",
    "ошибка": "error", "точность": "accuracy", "обучение": "train", "валидация": "val",
    # Chinese, Japanese, Korean
    "轮次": "epoch", "轮": "epoch", "迭代次数": "iteration", "迭代": "iteration", "步数": "step",
    "步": "step", "训练": "train ", "訓練": "train ", "验证": "val ", "驗證": "val ",
    "测试": "test ", "損失": "loss", "损失": "loss", "准确率": "accuracy", "精度": "accuracy",
    "学习率": "learning rate", "奖励": "reward", "エポック": "epoch", "ステップ": "step",
    "学習率": "learning rate", "学習": "train ", "検証": "val ", "正解率": "accuracy",
    "에폭": "epoch", "손실": "loss", "정확도": "accuracy",
}  # fmt: skip
_WORDS = re.compile(
    "|".join(
        rf"(?<![^\W_]){word}(?![^\W_])" if word[0] < "Ԁ" else word
        for word in sorted(_ENGLISH, key=len, reverse=True)
    )
)
_COUNTED = re.compile(r"\s?(个\s?epoch|轮|步|回合|エポック|ステップ|에폭)")
"""Behind a number: what it counts, in languages that say so there."""


@lru_cache(maxsize=4096)
def in_english(name: str) -> str:
    """A name with the words that are known in English, and the others as they are."""
    low = name.lower()
    found = _WORDS.sub(lambda word: _ENGLISH[word[0]], low)
    return name if found == low else " ".join(found.split())


def counted_behind(after: str) -> str | None:
    """The counter that a number is by what stands behind it: `第3轮` is the third epoch."""
    found = _COUNTED.match(after)
    if found is None:
        return None
    return "step" if found[1] in ("步", "ステップ") else "epoch"
