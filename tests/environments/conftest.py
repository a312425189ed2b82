"""An image with a repository in it."""

import os
from collections.abc import Iterator

import pytest

# Committed: text, binary, an executable, a link, line ends of both kinds, what is ignored. Not committed: a leftover.
_REPOSITORY = r"""
set -e
git init --quiet --initial-branch=main
git config user.name a; git config user.email a@b
mkdir pkg
printf 'x = 1\ny = 2\n' > pkg/a.py
printf 'hello\n' > README
printf 'a\000b\377' > data.bin
printf 'one\r\ntwo\r\n' > crlf.txt
printf 'one\r\ntwo\r\n' > run.bat
printf '*.bat text eol=crlf\n*.dat -diff\n' > .gitattributes
printf '*.pyc\nbuild/\n' > .gitignore
printf 'echo\n' > tool.sh; chmod +x tool.sh
ln -s README link
mkdir build; echo tracked > build/kept
git add --all; git add --force build/kept
git commit --quiet --message base
echo secret > .git/hooks/none
echo "left by the set-up" > leftover
"""


@pytest.fixture(scope="session")
def repository_image(image: str) -> Iterator[str]:
    """``image`` with a small repository in ``/testbed``, not all of it committed."""
    from environments.sandbox.container import Container
    from environments.sandbox.engine import connect

    name = f"srl-agent/test-repository-{os.getpid()}"  # another session may run beside this one
    with Container(image) as sandbox:
        result = sandbox.run(_REPOSITORY)
        assert result.exit_code == 0, result.output
        connect().containers.get(sandbox.name).commit(repository=name, tag="1")
    yield f"{name}:1"
    connect().images.remove(f"{name}:1", force=True)
