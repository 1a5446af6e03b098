# /// script
# requires-python = ">=3.10"
# dependencies = ["numpy>=1.26"]
# ///
"""A training in one file: `sendoff submit examples/pep723/train.py`."""
import mlflow
import numpy as np

generator = np.random.default_rng(0)
x = generator.normal(size=(200, 3))
y = x @ [1.0, -2.0, 0.5] + generator.normal(scale=0.1, size=200)
weights = np.zeros(3)
with mlflow.start_run():
    for step in range(20):
        error = x @ weights - y
        weights -= 0.1 * x.T @ error / len(y)
        mlflow.log_metric("mse", float((error**2).mean()), step=step)
print("weights", weights.round(2))
