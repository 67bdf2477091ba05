"""The rotation study as a command: what it leaves, that stopping changes nothing, and what is refused."""

import json
import os
import re
import signal

import pytest

from humanpt.commands import rotation_study as command
from humanpt.engine.report import Silent
from humanpt.errors import ConfigError, InputError, OutputError

CONFIG = command.RotationStudyConfig(
    forms=("procrustes", "quat", "rotvec"),
    seeds=2,
    task=command.RotationConfig(steps=3, width=8, batch_size=4, tests=20),
)


class StopAt(Silent):
    """Sends this process a signal at the given call of `advance`, as Ctrl-C and schedulers do."""

    def __init__(self, call, number):
        self.left, self.number = call, number

    def advance(self, amount=1, **figures):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("study") / "out"
    return out, command.run(CONFIG, [], out, Silent())


def line(form, limit, mean, worst):
    return {"form": form, "limit": limit, "mean": mean, "worst": worst}


def test_a_study_leaves_results_and_a_page(study):
    out, told = study
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "results.json"]
    kept = json.loads((out / "results.json").read_text())
    assert [(r["form"], r["limit"]) for r in kept["results"]] == [
        (form, limit) for limit in (180.0, 45.0) for form in ("procrustes", "quat", "rotvec")
    ]
    assert {name: kept[name] for name in ("metric", "n", "seed", "baseline", "table", "bars")} == {
        name: told[name] for name in ("metric", "n", "seed", "baseline", "table", "bars")
    }
    assert (told["n"], told["seed"], told["interrupted"], told["stopped_by"]) == (20, [0, 1], False, None)
    first = told["table"][0]
    means = [seed["mean"] for seed in kept["results"][0]["seeds"]]
    assert first["mean"] == pytest.approx(sum(means) / 2)
    assert first["spread"] == pytest.approx(abs(means[0] - means[1]) / 2**0.5)
    assert first["worst"] == max(seed["worst"] for seed in kept["results"][0]["seeds"])


def test_the_page_tells_every_figure_and_needs_no_network(study):
    out, told = study
    page = (out / "report.html").read_text()
    for row in told["table"]:
        assert f"{row['mean']:.2f}" in page
        assert f"{row['worst']:.1f}" in page
    assert page.count("<svg role") == 6
    assert not re.search(r"(src|href)=\"http", page)


@pytest.mark.parametrize(("call", "number"), [(1, signal.SIGINT), (4, signal.SIGTERM)])
def test_a_stopped_study_goes_on_to_the_same_results(study, tmp_path, call, number):
    out = tmp_path / "out"
    told = command.run(CONFIG, [], out, StopAt(call, number))
    assert told["interrupted"]
    assert told["stopped_by"] == number.name
    assert len(told["table"]) == call - 1  # the form in training is begun anew
    assert (out / "report.html").exists() == (call > 1)
    again = command.run(CONFIG, [], out, Silent(), resume=True)
    assert not again["interrupted"]
    assert (out / "results.json").read_text() == (study[0] / "results.json").read_text()
    assert (out / "report.html").read_text().count("</td>") == (study[0] / "report.html").read_text().count("</td>")


def test_a_killed_study_keeps_the_forms_it_finished(study, tmp_path):
    class Killed(StopAt):
        def advance(self, amount=1, **figures):
            self.left -= 1
            if self.left == 0:
                raise MemoryError

    out = tmp_path / "out"
    with pytest.raises(MemoryError):
        command.run(CONFIG, [], out, Killed(3, None))
    assert len(json.loads((out / "results.json").read_text())["results"]) == 2
    command.run(CONFIG, [], out, Silent(), resume=True)
    assert (out / "results.json").read_text() == (study[0] / "results.json").read_text()


def test_a_folder_with_a_study_is_not_begun_again(study):
    with pytest.raises(OutputError, match="already holds a study; go on with it by --resume"):
        command.run(CONFIG, [], study[0], Silent())


def test_a_folder_with_anything_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match=r"not empty .*thesis\.tex"):
        command.run(CONFIG, [], tmp_path, Silent())


def test_other_settings_cannot_go_on_with_a_study(study):
    with pytest.raises(InputError, match="begun with other settings"):
        command.run(CONFIG, ["task.steps=4"], study[0], Silent(), resume=True)


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"results": []}', "\x80"])
def test_results_that_are_none_are_one_line(tmp_path, content):
    (tmp_path / "results.json").write_bytes(content.encode("latin1"))
    with pytest.raises(InputError, match=r"results\.json: is no study's results"):
        command.run(CONFIG, [], tmp_path, Silent(), resume=True)


def test_settings_that_cannot_work_are_one_line(tmp_path):
    with pytest.raises(ConfigError, match="--resume: name the folder"):
        command.run(CONFIG, [], None, Silent(), resume=True)
    for change, line_of_it in [
        ("seeds=0", "seeds is 0"),
        ("limits=200", "at most 180"),
        ("forms=6d,6d", "none twice"),
        ("forms=matrix", "does not fit"),
    ]:
        with pytest.raises(ConfigError, match=line_of_it):
            command.run(CONFIG, [change], tmp_path, Silent())


def test_bars_are_held_or_missed_by_their_figures():
    good = [
        line("procrustes", 180.0, 0.5, 2.0),
        line("6d", 180.0, 0.6, 3.0),
        line("quat", 180.0, 4.0, 100.0),
        line("rotvec", 180.0, 1.0, 179.0),
        line("procrustes", 45.0, 0.2, 1.0),
        line("rotvec", 45.0, 0.24, 1.0),
    ]
    found = command.bars(good)
    assert [bar["figure"] for bar in found] == pytest.approx([0.5, 2.0, 0.6, 3.0, 179.0, 1.2])
    assert all(bar["held"] for bar in found[:5])
    bad = [line(row["form"], row["limit"], 1.0, 40.0) for row in good]
    assert [bar["held"] for bar in command.bars(bad)] == [False] * 5 + [True]
    assert command.bars(good[:2]) == []  # nothing to compare with
