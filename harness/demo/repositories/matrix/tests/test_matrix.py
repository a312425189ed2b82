import pytest

from matrix import Matrix, determinant, identity, solve


def test_add():
    assert Matrix([[1, 2]]) + Matrix([[3, 4]]) == Matrix([[4, 6]])


def test_scale():
    assert Matrix([[1, 2]]) * 3 == Matrix([[3, 6]])


def test_product_with_identity():
    square = Matrix([[1, 2], [3, 4]])
    assert square * identity(2) == square


def test_shapes():
    with pytest.raises(ValueError):
        Matrix([[1, 2], [3]])


def test_determinant():
    assert determinant(Matrix([[2, 0], [0, 3]])) == 6


def test_solve():
    assert solve(Matrix([[2, 0], [0, 4]]), [2, 8]) == [1, 2]
