"""TF-IDF with logistic regression on the same splits: what the LSTM is compared with."""

import sys
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from toolkit.evaluate.metrics import wilson
from toolkit.training import load_recipe


def main() -> None:
    """Print its accuracy on the validation and the test split."""
    recipe = load_recipe(Path(__file__).with_name("recipe.py"))
    data = recipe.load(recipe.settings)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    model = make_pipeline(words, LogisticRegression(C=4, max_iter=1000))
    model.fit(data.train.items, data.train.targets)
    for name, split in (("validation", data.validation), ("test", data.test)):
        hits = int((model.predict(split.items) == split.targets).sum())
        sys.stdout.write(f"{name} accuracy {wilson(hits, len(split))}\n")


if __name__ == "__main__":
    main()
