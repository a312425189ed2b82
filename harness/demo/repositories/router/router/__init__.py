from router.query import build_query, parse_query
from router.routes import NotFound, Router

__all__ = ["NotFound", "Router", "build_query", "parse_query"]
