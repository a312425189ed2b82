"""Read comma separated values; a field may stand in double quotes."""


def parse_line(line, separator=","):
    """Split one line into its fields. A doubled quote inside quotes is a quote."""
    fields = []
    field = ""
    quoted = False
    i = 0
    while i < len(line):
        char = line[i]
        if quoted:
            if char == '"' and line[i + 1 : i + 2] == '"':
                field += '"'
                i += 1
            elif char == '"':
                quoted = False
            else:
                field += char
        elif char == '"':
            quoted = True
        elif char == separator:
            fields.append(field)
            field = ""
        else:
            field += char
        i += 1
    if quoted:
        raise ValueError(f"quote is never closed: {line!r}")
    fields.append(field)
    return fields


def read_table(text, separator=","):
    """Rows as dicts; the first line names the columns. Empty lines are skipped."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return []
    header = [name.strip() for name in parse_line(lines[0], separator)]
    rows = []
    for number, line in enumerate(lines[1:], 2):
        values = parse_line(line, separator)
        if len(values) != len(header):
            raise ValueError(f"line {number}: {len(values)} fields, {len(header)} columns")
        rows.append(dict(zip(header, values)))
    return rows
