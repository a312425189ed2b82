from minicsv import format_line, write_table


def test_format_line():
    assert format_line(["a", 1]) == "a,1"


def test_quotes():
    assert format_line(["a,b", "c"]) == '"a,b",c'


def test_write_table():
    assert write_table([{"x": 1, "y": 2}]) == "x,y\n1,2\n"
