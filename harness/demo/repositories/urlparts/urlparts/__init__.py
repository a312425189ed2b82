from urlparts.query import add_param, read_query, write_query
from urlparts.quoting import quote, unquote
from urlparts.resolve import resolve
from urlparts.url import Url, join, port, split

__all__ = [
    "Url",
    "add_param",
    "join",
    "port",
    "quote",
    "read_query",
    "resolve",
    "split",
    "unquote",
    "write_query",
]
