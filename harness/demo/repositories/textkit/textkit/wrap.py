"""Break text into lines of a given width."""


def wrap(text, width=70, indent=""):
    """Return a list of lines, none longer than width unless a single word is."""
    lines = []
    current = indent
    empty = True
    for word in text.split():
        needed = len(word) if empty else len(word) + 1
        if not empty and len(current) + needed > width:
            lines.append(current)
            current = indent + word
        else:
            current += word if empty else " " + word
        empty = False
    if not empty:
        lines.append(current)
    return lines


def shorten(text, width, placeholder="..."):
    """Collapse white space and cut the text at a word so that it fits into width."""
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    room = width - len(placeholder)
    if room < 0:
        raise ValueError("placeholder is wider than the text may be")
    cut = text[: room + 1].rfind(" ")
    if cut == -1:
        return placeholder
    return text[:cut] + placeholder
