from minicsv.reader import parse_line, read_table
from minicsv.writer import format_line, write_table

__all__ = ["format_line", "parse_line", "read_table", "write_table"]
