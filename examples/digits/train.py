"""Trains a linear classifier on scikit-learn's bundled digits, epoch by epoch, tracked by MLflow."""
import argparse
import os

import joblib
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score, log_loss
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, default=0.001)
parser.add_argument("--epochs", type=int, default=8)
parser.add_argument("--out", required=True)
arguments = parser.parse_args()

digits = load_digits()
x_train, x_test, y_train, y_test = train_test_split(digits.data / 16, digits.target, random_state=0)
model = SGDClassifier(loss="log_loss", alpha=arguments.alpha, random_state=0)

with mlflow.start_run():
    mlflow.log_params({"alpha": arguments.alpha, "epochs": arguments.epochs})
    for epoch in range(arguments.epochs):
        order = np.random.default_rng(epoch).permutation(len(x_train))
        model.partial_fit(x_train[order], y_train[order], classes=np.arange(10))
        accuracy = accuracy_score(y_test, model.predict(x_test))
        loss = log_loss(y_test, model.predict_proba(x_test))
        mlflow.log_metrics({"accuracy": accuracy, "loss": loss}, step=epoch)
        print(f"epoch {epoch}: accuracy {accuracy:.3f}, loss {loss:.3f}")

    ConfusionMatrixDisplay.from_predictions(y_test, model.predict(x_test))
    plt.savefig("confusion.png")
    mlflow.log_artifact("confusion.png")

    os.makedirs(arguments.out, exist_ok=True)
    path = os.path.join(arguments.out, "model.joblib")
    joblib.dump(model, path)
    mlflow.log_artifact(path, artifact_path="model")
