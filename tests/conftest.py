"""Shared: a real, tiny, randomly initialised model with a tokenizer of its own; which tests run side by side."""

import os
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two busy processes on two cores spin at each other's barriers
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

hypothesis.settings.register_profile("busy-machine", deadline=None)  # a slow example is no failure
hypothesis.settings.load_profile("busy-machine")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """For ``pytest -n``: the tests with containers share an engine and run one by one, other files side by side."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        group = "engine" if "image" in getattr(item, "fixturenames", ()) else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))


TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Qwen2 of 0.1M parameters and a byte-level BPE trained on the demo's text."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    from harness.demo import expert_path

    special = ["<|im_start|>", "<|im_end|>"]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    core.train_from_iterator(expert_path().read_text(encoding="utf-8").splitlines()[:10], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>", chat_template=TEMPLATE
    )
    config = Qwen2Config(
        vocab_size=512,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real trajectories; tests that need it are marked ``realdata``."""
    named = os.environ.get("SRL_AGENT_REAL_DATA")
    if not named:
        pytest.skip("SRL_AGENT_REAL_DATA does not name a folder with real trajectories")
    return Path(named)


@pytest.fixture(scope="session")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was not interrupted."""
    from tests.tiny_runs import recipe, run

    folder = tmp_path_factory.mktemp("whole")
    done = run(str(recipe(folder, tiny_model)))
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="session")
def image() -> str:
    """A small base image: Debian with Python, pytest, git and patch. Without an engine a loud skip."""
    from environments.failures import EnvironmentFailure
    from environments.images.base import base_image
    from environments.sandbox.engine import connect

    try:
        connect()
        return base_image()
    except EnvironmentFailure as error:
        pytest.skip(f"needs a container engine and a base image: {error}")
