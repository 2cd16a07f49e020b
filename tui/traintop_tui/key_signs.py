"""Keys as they stand on a keyboard."""

from __future__ import annotations

_SIGNS = {
    "question_mark": "?", "right_square_bracket": "]", "left_square_bracket": "[", "colon": ":",
    "plus": "+", "equals_sign": "=", "minus": "-", "less_than_sign": "<", "comma": ",",
    "greater_than_sign": ">", "full_stop": ".", "percent_sign": "%",
    "left_curly_bracket": "{", "right_curly_bracket": "}", "exclamation_mark": "!", "slash": "/",
    "ampersand": "&", "left": "←", "right": "→", "up": "↑", "down": "↓", "escape": "Esc",
    "enter": "Enter", "tab": "Tab", "pagedown": "PgDn", "pageup": "PgUp", "space": "Space",
    "home": "Home", "end": "End", "backspace": "Backspace",
}  # fmt: skip


def key_signs(keys: str) -> str:
    """Write key names as they stand on a keyboard: `plus,equals_sign,i` is `+ = i`."""
    return " ".join(_sign(key) for key in keys.split(","))


def _sign(key: str) -> str:
    *modifiers, last = key.split("+")
    names = {"ctrl": "^", "shift": "Shift-"}
    sign = _SIGNS.get(last, last.upper() if last.startswith("f") and len(last) > 1 else last)
    return "".join(names.get(modifier, modifier + "-") for modifier in modifiers) + sign
