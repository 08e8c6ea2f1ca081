"""Names from outside as text that commands nothing: no terminal, no reader of lines, no eye is led astray."""

from __future__ import annotations


def plain(text: str) -> str:
    """On one line, with what would not be seen written out: control characters, ends of lines of every kind, marks
    that turn the direction of text, halves of characters.

    >>> print(plain("fc\\n::error::\\x1b[2J\\u202e"), plain("größe 5×5"))
    fc\\n::error::\\x1b[2J\\u202e größe 5×5
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else _escape(sign) for sign in text)


def _escape(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")
