import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import humanpt
from humanpt.body import files as body_files
from humanpt.body.model import load_body_model
from humanpt.cli.app import app
from humanpt.commands import doctor
from tests.body.licensed_files import made, write_npz
from tests.scenes import write_pairs

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "cv2", "av", "h5py", "numpy", "matplotlib", "scipy", "timm", "decord")


def humanpt_command(*words):
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["mkpairs", "--help"],
        ["pretrain", "-h"],
        ["finetune", "hand-mesh", "--help"],
        ["eval", "--help"],
        ["demo", "--help"],
        ["export", "--help"],
        ["doctor", "--help"],
        ["--version"],
    ],
)
def test_help_imports_nothing_heavy(words):
    code = f"""
import sys
sys.argv = ["humanpt", *{words!r}]
from humanpt.cli.app import main
try:
    main()
except SystemExit as end:
    assert not end.code
print("LOADED", [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "LOADED []" in done.stderr
    assert done.stdout


def test_every_option_of_every_command_is_explained():
    for command in ("mkpairs", "pretrain", "doctor"):
        text = humanpt_command(command, "--help").output
        assert "Usage" in text
        assert "--json" in text


@pytest.mark.parametrize("group", ["finetune", "eval"])
def test_a_group_without_arguments_shows_its_help_as_the_whole_command_does(group):
    alone, found, helped = humanpt_command(), humanpt_command(group), humanpt_command(group, "--help")
    assert (found.exit_code, found.stderr) == (alone.exit_code, alone.stderr) == (2, "")
    assert found.stdout.strip() == helped.stdout.strip()
    assert "Usage" in found.stdout


def test_the_version_is_told_the_same_everywhere():
    assert humanpt_command("--version").stdout == f"humanpt {humanpt.__version__}\n"
    done = subprocess.run([sys.executable, "-m", "humanpt", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"humanpt {humanpt.__version__}\n"


def test_the_shell_completes_commands():
    environment = {**os.environ, "_HUMANPT_COMPLETE": "complete_bash", "COMP_WORDS": "humanpt mk", "COMP_CWORD": "1"}
    program = Path(sys.executable).with_name("humanpt")
    done = subprocess.run([program], capture_output=True, text=True, env=environment, check=False)
    assert "mkpairs" in done.stdout.split()


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m humanpt doctor --json | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["{", "0"]
    assert "Traceback" not in done.stderr


def test_a_full_standard_output_is_one_line():
    command = f"{sys.executable} -m humanpt doctor > /dev/full"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "standard output" in done.stderr


def test_doctor_finds_what_is_needed():
    result = humanpt_command("doctor", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["ok"]
    assert found["packages"]["torch"]["version"]
    assert "pyav" in found["decoders"]
    assert found["device"]["precision"] in ("fp32", "bf16")
    assert "all is well" in humanpt_command("doctor").output


@pytest.fixture
def own_body_models(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMANPT_BODY_MODELS", str(tmp_path))
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def mano():
    return made("mano", load_body_model("anny-hand"))


def test_doctor_finds_body_models_where_they_lie(own_body_models, mano):
    path = write_npz(own_body_models / "mano" / "MANO_RIGHT.npz", mano)
    result = humanpt_command("doctor", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found["body_models"]["MANO"] == [{"file": str(path), "problem": None}]
    assert found["body_models"]["SMPL"] == []
    assert str(own_body_models) in found["body_model_folders"]


def test_doctor_says_why_a_body_model_cannot_be_read(own_body_models, mano):
    (own_body_models / "MANO_LEFT.pkl").touch()
    write_npz(own_body_models / "SMPL_MALE.npz", mano)
    result = humanpt_command("doctor", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert "MANO_LEFT.pkl: cannot be read as a body model" in found["body_models"]["MANO"][0]["problem"]
    assert "this is MANO" in found["body_models"]["SMPL"][0]["problem"]
    assert len(found["problems"]) == 2
    text = " ".join(humanpt_command("doctor").output.split())
    assert "(cannot be read, see below)" in text
    assert "problem:" in text


def test_doctor_lists_the_free_body_models(own_body_models):
    found = json.loads(humanpt_command("doctor", "--json").stdout)
    assert found["free_body_models"]["anny-hand"] == "in the package"
    assert found["free_body_models"]["anny-body-full"] == "built at first use"
    assert "anny-body-full   built at first use" in humanpt_command("doctor").output


@pytest.mark.parametrize("package", ["anny", "smplx"])
def test_doctor_is_content_without_an_optional_package(package, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(doctor.importlib.metadata, "version", missing)
    problem = doctor._version(package)["problem"]
    assert problem.startswith(f"{package}: cannot be imported")
    assert f"optional, {doctor.OPTIONAL[package]}" in problem
    assert f"humanpt[{package}]" in problem


def test_the_cache_folder_can_be_moved(tmp_path, monkeypatch):
    monkeypatch.setenv("HUMANPT_CACHE", str(tmp_path))
    assert body_files.cache_folder() == tmp_path


def test_doctor_ends_with_1_when_something_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "NEEDED", (*doctor.NEEDED, "no_such_package"))
    result = humanpt_command("doctor")
    assert result.exit_code == 1
    assert "no_such_package" in result.output


def test_doctor_tells_what_to_do_without_libgl(monkeypatch):
    def without_libgl(name):
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(doctor.importlib, "import_module", without_libgl)
    assert "libgl1" in doctor._version("cv2")["problem"]
    assert "opencv-python-headless" in doctor._version("cv2")["problem"]


def test_doctor_checks_shards(tmp_path):
    shard = write_pairs(tmp_path / "a.h5", count=5)
    found = json.loads(humanpt_command("doctor", tmp_path, "--json").stdout)
    assert found["path"]["pairs"] == 5
    shard.write_bytes(shard.read_bytes()[:-100])
    result = humanpt_command("doctor", shard)
    assert result.exit_code == 1
    assert "a.h5" in result.output


def test_doctor_checks_a_run(tmp_path):
    (tmp_path / "pairs").mkdir()
    write_pairs(tmp_path / "pairs" / "a.h5", count=12)
    run = tmp_path / "run"
    words = ["--recipe", "tiny", "--batch-size", 4, "--steps", 2, "--set", "workers=0", "--device", "cpu"]
    assert humanpt_command("pretrain", "--data", tmp_path / "pairs", "--out", run, *words).exit_code == 0
    found = json.loads(humanpt_command("doctor", run, "--json").stdout)
    assert {Path(entry["file"]).name: entry["step"] for entry in found["path"]["entries"]} == {
        "best.safetensors": 2,
        "last.safetensors": 2,
    }
    (run / "last.safetensors").write_bytes((run / "last.safetensors").read_bytes()[:1000])
    result = humanpt_command("doctor", run)
    assert result.exit_code == 1
    assert "last.safetensors" in result.output


def test_doctor_refuses_what_is_neither(tmp_path):
    result = humanpt_command("doctor", tmp_path)
    assert result.exit_code == 2
    assert "neither" in result.stderr
    assert humanpt_command("doctor", tmp_path / "none").exit_code == 2


@pytest.mark.parametrize(
    "words", [["pretrain", "--precision", "bf61"], ["pretrai"], ["export"], ["pretrain", "--steps", "x"]]
)
def test_a_mistyped_command_is_one_line(words):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: humanpt")
    assert line.endswith("--help")
