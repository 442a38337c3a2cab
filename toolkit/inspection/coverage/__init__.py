"""How much of a graph each provider would take, predicted from tables of rules."""

from toolkit.inspection.coverage.predict import Break, Prediction, predict

__all__ = ["Break", "Prediction", "predict"]
