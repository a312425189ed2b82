"""Write comma separated values."""


def format_field(value, separator=","):
    text = "" if value is None else str(value)
    if separator in text or '"' in text or "\n" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def format_line(values, separator=","):
    return separator.join(format_field(value, separator) for value in values)


def write_table(rows, separator=","):
    """Text of a list of dicts; the keys of the first row are the columns."""
    if not rows:
        return ""
    columns = list(rows[0])
    lines = [format_line(columns, separator)]
    for row in rows:
        lines.append(format_line([row.get(name) for name in columns], separator))
    return "\n".join(lines) + "\n"
