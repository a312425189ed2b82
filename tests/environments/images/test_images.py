"""The source of the base image."""

from pathlib import Path

from environments.images.base import apt_mirrors

SOURCES = """\
# a comment: deb http://comment.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [signed-by=/usr/share/keyrings/a.gpg arch=amd64] http://one.example/debian bookworm main contrib
deb http://security.example/debian-security bookworm-security main
deb https://packages.example/apt cloud-sdk-bookworm main
"""
DEB822 = """\
Types: deb
URIs: http://two.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
Components: main
"""


def test_the_apt_mirror_is_that_of_this_machine(tmp_path: Path) -> None:
    assert apt_mirrors(tmp_path) == []
    (tmp_path / "sources.list").write_text(SOURCES)
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    assert apt_mirrors(tmp_path) == ["http://one.example/debian", "http://two.example/debian"]
