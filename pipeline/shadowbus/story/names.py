"""Names of classes and segments as charts may have them. Pure."""

APART = "\u200b"
"""Stands before every foreign name, and takes no room.

Chart libraries keep texts and categories in plain objects, where `__proto__` or `constructor` is found though nobody
put it there. With this before it no name, nor the beginning to which one is cut, is a word that JavaScript knows."""

MOST_CHARACTERS = 100


def for_charts(name: str, most: int = MOST_CHARACTERS) -> str:
    r"""A name on one line, not too long, and apart from all that JavaScript has a meaning for.

    >>> for_charts("__proto__"), for_charts("a\n\x1b[31mb"), for_charts(" "), for_charts("abcdef", 4)
    ('\u200b__proto__', '\u200ba [31mb', '\u200b(empty)', '\u200babc…')
    """
    line = "".join(letter if letter.isprintable() else " " if letter.isspace() else "" for letter in name[: 4 * most])
    plain = line.strip() or "(empty)"
    return APART + (plain if len(plain) <= most else f"{plain[: most - 1]}…")
