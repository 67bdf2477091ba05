"""What the examples promise, with training and evaluation stood in for."""

import runpy
from pathlib import Path

import pytest
import typer

from humanpt.commands import evaluate, finetune

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("interrupted", [False, True])
def test_gestures_are_counted_by_the_last_weights_of_runs_that_went_to_their_end(tmp_path, monkeypatch, interrupted):
    measured = []

    def trained(config, changes, data, out, report, *, init):
        return {"interrupted": interrupted, "last": str(out / "last.safetensors")}

    def counted(run, *_):
        measured.append(run)
        return {"details": {"confusion": [[2, 0], [1, 1]], "class_names": ["fist", "palm"]}}

    monkeypatch.setattr(finetune, "run", trained)
    monkeypatch.setattr(evaluate, "run", counted)
    main = runpy.run_path(str(EXAMPLES / "classify_gestures.py"))["main"]
    if interrupted:
        with pytest.raises(typer.Exit):
            main(tmp_path, folds=2, out=tmp_path)
    else:
        main(tmp_path, folds=2, out=tmp_path)
    last = [tmp_path / f"fold-{fold}" / "last.safetensors" for fold in range(2)]
    assert measured == ([] if interrupted else last)
