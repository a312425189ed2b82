"""Scaffolds by name, by entry point and by path; the plug-in of the documentation."""

from pathlib import Path

import pytest

from harness.demo import load_tasks
from harness.demo.sources import load_sources
from srl_agent.formats import get_format
from srl_agent.plugins import PluginError
from srl_agent.policies import Sampling
from srl_agent.scaffolds import SCAFFOLDS, load_scaffold
from srl_agent.scaffolds.agentless_mini import AgentlessMini
from srl_agent.scaffolds.tool_loop import ToolLoop
from tests import plugin_scaffold
from tests.local_environment import LocalEnvironment, demo_task, resolves
from tests.scripted_answers import answers_in_turn

XML = get_format("xml")
PLUGIN = "tests.plugin_scaffold:OneScript"


def test_settings_are_keywords_and_what_is_offered_fills_in() -> None:
    loop = load_scaffold(
        "tool-loop", {"max_steps": 5, "sampling": {"temperature": 0.5, "stop": ["a"]}}, action_format=XML
    )
    assert isinstance(loop, ToolLoop)
    assert (loop.max_steps, loop.action_format) == (5, XML)
    assert loop.sampling == Sampling(temperature=0.5, stop=("a",))
    mini = load_scaffold("agentless-mini", {"samples": 3}, action_format=XML, sampling=Sampling(max_tokens=9))
    assert isinstance(mini, AgentlessMini)
    assert (mini.samples, mini.sampling) == (3, Sampling(max_tokens=9))


def test_every_built_in_name_is_a_class_with_run() -> None:
    pytest.importorskip("minisweagent")
    for name in SCAFFOLDS:
        assert callable(load_scaffold(name, {}, action_format=XML).run)


def test_what_is_wrong_is_said_with_what_there_is() -> None:
    with pytest.raises(PluginError, match=r"unknown scaffold 'toolloop': use one of .*tool-loop, oracle"):
        load_scaffold("toolloop", {})
    with pytest.raises(PluginError, match=r"tool-loop has no setting steps: it takes action_format, context"):
        load_scaffold("tool-loop", {"steps": 5}, action_format=XML)
    with pytest.raises(PluginError, match="scaffold tool-loop needs the setting action_format"):
        load_scaffold("tool-loop", {})
    with pytest.raises(
        PluginError, match="sampling of scaffold oracle-edit has no setting temp: it takes max_tokens"
    ):
        load_scaffold("oracle-edit", {"sampling": {"temp": 1}})
    with pytest.raises(PluginError, match=r"scaffold 'tests\.plugin_scaffold:Two' cannot be imported"):
        load_scaffold("tests.plugin_scaffold:Two", {})


def test_an_installed_package_adds_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "somebodys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[srl_agent.scaffolds]\none-script = {PLUGIN}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(load_scaffold("one-script", {"seconds": 5}), plugin_scaffold.OneScript)
    with pytest.raises(PluginError, match="use one of one-script, tool-loop"):
        load_scaffold("two-scripts", {})


def test_the_plug_in_of_the_page_solves_a_demo_task() -> None:
    page = (Path(__file__).parents[3] / "docs/scaffolds.md").read_text(encoding="utf-8")
    assert Path(plugin_scaffold.__file__).read_text(encoding="utf-8") in page
    source, task = load_sources()[0], load_tasks()[0]
    answer = f"<think>Hm.</think>I apply the fix.\n```bash\ngit apply <<'EOF'\n{task.patch}EOF\n```"
    with LocalEnvironment(source.buggy()) as environment:
        rollout = load_scaffold(PLUGIN, {}).run(
            demo_task(source), answers_in_turn({source.statement: [answer]}), environment
        )
    assert rollout.trajectory.steps[0].thought == "I apply the fix."
    assert resolves(source, rollout.trajectory.patch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_steps": "abc"}, "scaffold tool-loop: max_steps: should be a valid integer.*, not 'abc'"),
        ({"max_steps": True}, "scaffold tool-loop: max_steps: should be a number, not True"),
        (
            {"sampling": {"temperature": "hot"}},
            "sampling of scaffold tool-loop: temperature: should be a valid number",
        ),
    ],
)
def test_a_setting_of_another_type_is_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        load_scaffold("tool-loop", settings, action_format=XML)


def test_numbers_written_as_text_are_numbers() -> None:
    loop = load_scaffold("tool-loop", {"max_steps": "7", "max_seconds": None}, action_format=XML)
    assert isinstance(loop, ToolLoop)
    assert (loop.max_steps, loop.max_seconds) == (7, None)
