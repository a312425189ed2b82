"""Statistics of a stream of numbers that are not kept."""


class Running:
    def __init__(self, values=()):
        self.count = 0
        self.mean = 0.0
        self._squares = 0.0  # sum of squared distances from the mean
        for value in values:
            self.push(value)

    def push(self, value):
        self.count += 1
        delta = value - self.mean
        self.mean += delta / self.count
        self._squares += delta * (value - self.mean)

    @property
    def variance(self):
        """Variance of a sample, with n - 1 in the denominator."""
        if self.count < 2:
            raise ValueError("variance needs two values")
        return self._squares / (self.count - 1)

    def __add__(self, other):
        """The same as if the numbers of both sides had been pushed into one."""
        total = Running()
        total.count = self.count + other.count
        if total.count == 0:
            return total
        delta = other.mean - self.mean
        total.mean = self.mean + delta * other.count / total.count
        between = delta**2 * self.count * other.count / total.count
        total._squares = self._squares + other._squares + between
        return total
