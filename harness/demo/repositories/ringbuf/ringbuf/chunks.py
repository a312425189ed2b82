"""Cut a list or a text into pieces."""


def chunks(items, size, overlap=0):
    """Pieces of a size; each begins with the last items of the one before, as many as overlap says.

    The last piece may be shorter. It always has at least one new item.
    """
    if not 0 <= overlap < size:
        raise ValueError("overlap must be smaller than size")
    pieces = []
    start = 0
    while start < len(items):
        pieces.append(items[start : start + size])
        if start + size >= len(items):
            break
        start += size - overlap
    return pieces


def parts(items, count):
    """A number of pieces, as equal as possible; the longer ones come first."""
    size, extra = divmod(len(items), count)
    pieces = []
    start = 0
    for k in range(count):
        end = start + size + (k < extra)
        pieces.append(items[start:end])
        start = end
    return pieces


def rejoin(pieces, overlap=0):
    """The inverse of chunks, for pieces of one text or list."""
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole + piece[overlap:]
    return whole
