"""Text that came out of records, as it may stand in a report. HTML is escaped by the templates, Markdown here."""

import re
import unicodedata

MOST_CHARACTERS = 300
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_MARKDOWN = re.compile(r"[\\`*_\[\]#|~$]|^[-+=]|(?<=^\d)[.)](?=\s|$)")
_LINKS = re.compile(r"@|://|www(?=\.)", re.IGNORECASE)
_BREAK = "\u200b"


def shown(value: object, most: int = MOST_CHARACTERS) -> str:
    r"""Text on one line, without control and direction characters, and not too long.

    >>> shown("a\x1b[2J\u202eb\nc"), shown("abcdef", 4)
    ('a[2Jb c', 'abc…')
    """
    text = "" if value is None else str(value)
    plain = "".join(
        letter if unicodedata.category(letter) not in _INVISIBLE else " " if letter in "\t\r\n" else ""
        for letter in text[: 4 * most]
    )
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def markdown(value: object) -> str:
    r"""Text that is shown as it is by whatever reads Markdown, links nowhere and mentions nobody.

    >>> markdown("<b>*x*</b> | @team"), markdown("-1.5 points"), markdown("1. x")
    ('&lt;b&gt;\\*x\\*&lt;/b&gt; \\| @\u200bteam', '\\-1.5 points', '1\\. x')
    """
    text = shown(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LINKS.sub(lambda found: found[0] + _BREAK, _MARKDOWN.sub(lambda found: f"\\{found[0]}", text))


def code(value: object) -> str:
    r"""A name between backquotes, in a table or outside of one.

    >>> code("a`b|c")
    "`a'b\\|c`"
    """
    return "`" + (shown(value).replace("`", "'").replace("|", "\\|").strip() or " ") + "`"
