"""How far predictions are from the truth, as the field reports it: pure functions, nothing kept between calls."""

from humanpt.metrics.pose import mpjpe, pa_mpjpe

__all__ = ["mpjpe", "pa_mpjpe"]
