"""What figures are called, and which way is better."""

import pytest

from humanpt.pages.scores import by_alignment, leading, score, told


@pytest.mark.parametrize(
    ("name", "title", "value", "better"),
    [
        ("mpjpe_mm", "MPJPE", "12.35 mm", "low"),
        ("heldout_pa_mpjpe_mm", "PA-MPJPE", "12.35 mm", "low"),
        ("raw_pve_mm", "raw PVE", "12.35 mm", "low"),
        ("pa_f_at_5", "PA-F@5", "12.346", "high"),
        ("mesh_auc", "mesh AUC", "12.346", "high"),
        ("gpsm_ap", "GPSm AP", "12.346", "high"),
        ("ap_m", "AP-m", "12.346", "high"),
        ("top1", "top-1 accuracy", "1,234.6%", "high"),
        ("mean_per_class", "mean accuracy per class", "1,234.6%", "high"),
        ("calibration_error", "calibration error", "12.346", "low"),
        ("acceleration_mm_per_s2", "acceleration", "12.35 mm/s²", "low"),
        ("count", "count", "12", None),
        ("something_new", "something new", "12.346", None),
    ],
)
def test_a_name_tells_title_unit_and_direction(name, title, value, better):
    assert (score(name).title, told(name, 12.3456), score(name).better) == (title, value, better)


def test_great_lengths_have_fewer_decimals_and_nothing_is_a_dash():
    assert told("mpjpe_mm", 123.456) == "123.5 mm"
    assert told("acceleration_mm_per_s2", 1234.5) == "1,234 mm/s²"
    assert told("mpjpe_mm", None) == "-"


FIGURES = {"raw_mpjpe_mm": 90.0, "mpjpe_mm": 20.0, "pa_mpjpe_mm": 6.0, "pa_auc": 0.8, "acceleration_mm_per_s2": 7.0}


def test_what_papers_tell_comes_first():
    assert list(leading(FIGURES, 3)) == ["pa_mpjpe_mm", "mpjpe_mm", "raw_mpjpe_mm"]
    assert leading({"top1": 0.5}, 3) == {"top1": 0.5}


def test_figures_stand_in_the_column_of_their_alignment():
    columns, rows, rest = by_alignment(FIGURES)
    assert columns == ["as predicted", "roots together", "after Procrustes"]
    assert rows == [("MPJPE", ["90.00 mm", "20.00 mm", "6.00 mm"]), ("AUC", ["", "", "0.800"])]
    assert rest == [("acceleration", "7.00 mm/s²")]


def test_figures_without_alignment_are_a_list():
    assert by_alignment({"top1": 0.5, "mean_per_class": 0.25}) == (
        [],
        [],
        [("top-1 accuracy", "50.0%"), ("mean accuracy per class", "25.0%")],
    )
