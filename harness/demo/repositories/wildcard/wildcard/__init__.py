from wildcard.charset import BadPattern
from wildcard.engine import match
from wildcard.filters import Filter, select
from wildcard.trie import Trie

__all__ = ["BadPattern", "Filter", "Trie", "match", "select"]
