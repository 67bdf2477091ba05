"""How far predictions are from the truth, as the field reports it: pure functions, nothing kept between calls."""

from humanpt.metrics.pose import mpjpe, pa_mpjpe, point_errors

__all__ = ["mpjpe", "pa_mpjpe", "point_errors"]
