"""HTML as the text that is in it. No I/O.

What comes out is written as text, so a tag that is read wrongly here is shown and never works.
"""

import re

_TAGS = re.compile(
    r"(?P<hidden><!--.*?(?:-->|\Z)|<\?.*?(?:\?>|\Z)|<![A-Za-z\[].*?(?:>|\Z))"
    r"|<(?P<closing>/?)(?P<name>[A-Za-z][A-Za-z0-9-]*)(?P<attributes>(?:[\s/][^<>]*)?)>",
    re.DOTALL,
)
_ALT = re.compile(r"""\balt\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""", re.IGNORECASE)
_MAX_ALT_CHARACTERS = 100

_BREAKING = {
    *("blockquote", "br", "center", "dd", "details", "div", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li"),
    *("ol", "p", "picture", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
}
_SILENT = {
    *("a", "abbr", "b", "code", "del", "em", "font", "i", "ins", "kbd", "mark", "q", "s", "samp", "small", "source"),
    *("span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr"),
}


def html_text(html: str) -> str:
    """Formatting goes, comments go, images leave a note; other tags stay as text: `List<String>`."""
    return _TAGS.sub(_replace, html)


def image_note(alt: str) -> str:
    alt = " ".join(alt.split())[:_MAX_ALT_CHARACTERS]
    return f"[image: {alt}]" if alt else "[image]"


def _replace(match: re.Match[str]) -> str:
    if match["hidden"]:
        return ""
    name = match["name"].lower()
    if name == "img":
        alt = _ALT.search(match["attributes"])
        return image_note(next(filter(None, alt.groups()), "") if alt else "")
    if name in _BREAKING:
        return "\n"
    return "" if name in _SILENT else match[0]
