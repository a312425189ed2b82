"""Accounts and the transfers between them."""


class InsufficientFunds(Exception):
    pass


class Book:
    def __init__(self):
        self._balances = {}
        self.entries = []

    def open(self, name, balance=0):
        if name in self._balances:
            raise ValueError(f"account {name!r} exists already")
        self._balances[name] = balance

    def balance(self, name):
        return self._balances[name]

    def transfer(self, source, target, cents):
        """Move money; nothing changes if it cannot be done."""
        if cents <= 0:
            raise ValueError("the amount must be positive")
        if target not in self._balances:
            raise KeyError(target)
        if self._balances[source] < cents:
            raise InsufficientFunds(f"{source} has only {self._balances[source]}")
        self._balances[source] -= cents
        self._balances[target] += cents
        self.entries.append((source, target, cents))

    def history(self, name):
        """Signed amounts of an account, the oldest first."""
        amounts = []
        for source, target, cents in self.entries:
            if source == name:
                amounts.append(-cents)
            elif target == name:
                amounts.append(cents)
        return amounts
