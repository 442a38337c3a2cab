"""How much of a graph each provider would take, predicted from tables of rules."""

from toolkit.inspection.coverage.fixing import check_names, parse_sizes
from toolkit.inspection.coverage.predict import Break, Prediction, predict

__all__ = ["Break", "Prediction", "check_names", "parse_sizes", "predict"]
