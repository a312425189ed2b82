from matrix.core import Matrix, identity
from matrix.linalg import determinant, solve

__all__ = ["Matrix", "determinant", "identity", "solve"]
