"""Determinant and linear equations by elimination."""

from fractions import Fraction


def _eliminate(rows, size):
    """Bring rows (changed in place) to upper triangular form; return the sign of the swaps, 0 if singular."""
    sign = 1
    for k in range(size):
        pivot = next((i for i in range(k, size) if rows[i][k] != 0), None)
        if pivot is None:
            return 0
        if pivot != k:
            rows[k], rows[pivot] = rows[pivot], rows[k]
            sign = -sign
        for i in range(k + 1, size):
            factor = rows[i][k] / rows[k][k]
            rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k])]
    return sign


def determinant(matrix):
    size, columns = matrix.shape
    if size != columns:
        raise ValueError("only a square matrix has a determinant")
    rows = [[Fraction(value) for value in row] for row in matrix.rows]
    result = Fraction(_eliminate(rows, size))
    for k in range(size):
        result *= rows[k][k]
    return result


def solve(matrix, right):
    """The vector x with matrix * x = right. Raises ValueError if there is not exactly one."""
    size = len(right)
    rows = [[Fraction(v) for v in [*row, b]] for row, b in zip(matrix.rows, right)]
    if _eliminate(rows, size) == 0:
        raise ValueError("the matrix is singular")
    x = [Fraction(0)] * size
    for k in reversed(range(size)):
        known = sum(rows[k][j] * x[j] for j in range(k + 1, size))
        x[k] = (rows[k][size] - known) / rows[k][k]
    return x
