import pytest
from typer.testing import CliRunner

from humanpt.cli.app import app

TASKS = ("hand-mesh", "body-mesh", "dense-pose", "gesture", "grasp", "detection")


def helped(*words):
    result = CliRunner().invoke(app, ["finetune", *words, "--help"])
    assert result.exit_code == 0
    return " ".join(result.output.replace("│", " ").split())


def test_the_help_lists_every_task():
    text = helped()
    assert all(task in text for task in TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_help_of_its_own(task):
    text = helped(task)
    assert "RUN/" in text  # what it ends with
    for option in ("--init", "--out", "--steps", "--resume", "--set", "--json", "--seed", "--device"):
        assert option in text
    assert ("--labels" in text) == (task != "detection")
    assert ("--rotation" in text) == task.endswith("mesh")
    assert ("hand model" in text) == (task == "hand-mesh")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["elbow-mesh"], "No such command"),
        (["hand-mesh", "--tune", "nothing"], "'all', 'head', 'norm'"),
        (["hand-mesh", "--views", "3"], "'1', '2'"),
    ],
)
def test_a_mistyped_word_is_one_line(words, says):
    result = CliRunner().invoke(app, ["finetune", *words])
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert "humanpt finetune" in result.stderr
    assert "Traceback" not in result.stderr
