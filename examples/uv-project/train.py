"""Trains the network of the package `spirals`, tracked by MLflow."""
import argparse
import pathlib

import mlflow
import numpy as np

from spirals import Network, spirals

parser = argparse.ArgumentParser()
parser.add_argument("--units", type=int, default=64)
parser.add_argument("--epochs", type=int, default=600)
parser.add_argument("--out", type=pathlib.Path, required=True)
arguments = parser.parse_args()

print(f"numpy {np.__version__}")
x, labels = spirals(400, seed=0)
x_test, labels_test = spirals(400, seed=1)
network = Network(arguments.units, seed=2)
with mlflow.start_run():
    mlflow.log_params({"units": arguments.units, "epochs": arguments.epochs})
    for epoch in range(arguments.epochs + 1):
        loss = network.step(x, labels, rate=0.03)
        if epoch % 60 == 0:
            accuracy = float(np.mean((network.predict(x_test) > 0.5) == labels_test))
            mlflow.log_metrics({"loss": loss, "accuracy": accuracy}, step=epoch)
            print(f"epoch {epoch}: loss {loss:.3f}, accuracy {accuracy:.3f}")

arguments.out.mkdir(parents=True, exist_ok=True)
np.savez(arguments.out / "network.npz", *network.weights)
