"""Small dense matrices of numbers."""


class Matrix:
    def __init__(self, rows):
        self.rows = [list(row) for row in rows]
        if len({len(row) for row in self.rows}) > 1:
            raise ValueError("rows differ in length")

    @property
    def shape(self):
        return len(self.rows), len(self.rows[0]) if self.rows else 0

    def __eq__(self, other):
        return isinstance(other, Matrix) and self.rows == other.rows

    def __repr__(self):
        return f"Matrix({self.rows})"

    def __add__(self, other):
        if self.shape != other.shape:
            raise ValueError(f"shapes {self.shape} and {other.shape} differ")
        return Matrix([[a + b for a, b in zip(r, s)] for r, s in zip(self.rows, other.rows)])

    def __mul__(self, other):
        """Product with a number or with a matrix."""
        if not isinstance(other, Matrix):
            return Matrix([[value * other for value in row] for row in self.rows])
        if self.shape[1] != other.shape[0]:
            raise ValueError(f"cannot multiply {self.shape} with {other.shape}")
        columns = list(zip(*other.rows))
        return Matrix([[sum(a * b for a, b in zip(row, col)) for col in columns] for row in self.rows])

    def transpose(self):
        return Matrix(zip(*self.rows))

    def __pow__(self, exponent):
        if self.shape[0] != self.shape[1]:
            raise ValueError("only a square matrix has powers")
        result = identity(self.shape[0])
        for _ in range(exponent):
            result = result * self
        return result


def identity(size):
    return Matrix([[int(i == j) for j in range(size)] for i in range(size)])
