"""Turn tokens into a tree: a number, a name, or (operator, left, right)."""


class Parser:
    def __init__(self, tokens):
        self.tokens = [*tokens, ("end", "")]
        self.position = 0

    def peek(self):
        return self.tokens[self.position][1]

    def take(self):
        token = self.tokens[self.position]
        self.position += 1
        return token

    def parse(self):
        tree = self.sum()
        if self.tokens[self.position][0] != "end":
            raise SyntaxError(f"unexpected {self.peek()!r}")
        return tree

    def sum(self):
        left = self.product()
        while self.peek() in ("+", "-"):
            left = (self.take()[1], left, self.product())
        return left

    def product(self):
        left = self.unary()
        while self.peek() in ("*", "/", "%"):
            left = (self.take()[1], left, self.unary())
        return left

    def unary(self):
        if self.peek() == "-":
            self.take()
            return ("-", 0, self.unary())
        return self.power()

    def power(self):
        """Binds from the right: 2 ** 3 ** 2 is 2 ** 9."""
        base = self.atom()
        if self.peek() == "**":
            self.take()
            return ("**", base, self.unary())
        return base

    def atom(self):
        kind, text = self.take()
        if kind == "number":
            return float(text) if "." in text else int(text)
        if kind == "name":
            return text
        if text == "(":
            tree = self.sum()
            if self.take()[1] != ")":
                raise SyntaxError("parenthesis is never closed")
            return tree
        raise SyntaxError(f"unexpected {text!r}")
