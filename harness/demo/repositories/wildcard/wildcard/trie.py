"""Words that share their first characters."""

_END = "end of a word"  # longer than any other key of a node


class Trie:
    def __init__(self, *words):
        self._root = {}
        for word in words:
            self.add(word)

    def add(self, word):
        node = self._root
        for char in word:
            node = node.setdefault(char, {})
        node[_END] = True

    def _walk(self, text):
        node = self._root
        for char in text:
            node = node.get(char)
            if node is None:
                return {}
        return node

    def __contains__(self, word):
        return _END in self._walk(word)

    def starting(self, prefix):
        """All words that start with the prefix, sorted."""
        words = []
        todo = [(prefix, self._walk(prefix))]
        while todo:
            word, node = todo.pop()
            if _END in node:
                words.append(word)
            todo += [(word + char, below) for char, below in node.items() if char != _END]
        return sorted(words)

    def longest(self, text):
        """The longest word that the text starts with, or None."""
        node, found = self._root, None
        for length, char in enumerate(text, 1):
            node = node.get(char)
            if node is None:
                break
            if _END in node:
                found = text[:length]
        return found
