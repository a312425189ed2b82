"""Pack a folder as a tar archive that can be unpacked in a container."""

import io
import tarfile
from pathlib import Path


def pack_folder(folder: Path, name: str) -> bytes:
    """Return all of ``folder`` as an archive of one folder ``name``, owned by root."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        tar.add(folder, arcname=name, filter=_as_root)
    return packed.getvalue()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry
