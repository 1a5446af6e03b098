"""A network of one hidden layer that tells two spirals apart."""
import numpy as np


def spirals(points: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns points on two spirals, and which of the two each is on."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, points)
    angles = np.sqrt(generator.uniform(size=points)) * 2 * np.pi
    turned = angles + np.pi * labels
    x = np.stack([angles * np.cos(turned), angles * np.sin(turned)], axis=1) / (2 * np.pi)
    return x + generator.normal(scale=0.02, size=x.shape), labels


class Network:
    """A hidden layer of tanh units and a logistic output, trained by Adam."""

    def __init__(self, units: int, seed: int):
        generator = np.random.default_rng(seed)
        self.weights = [
            generator.normal(scale=3, size=(2, units)),
            generator.normal(scale=1, size=units),
            generator.normal(scale=1 / np.sqrt(units), size=units),
            np.zeros(1),
        ]
        self.means = [(np.zeros_like(weight), np.zeros_like(weight)) for weight in self.weights]
        self.steps = 0

    def predict(self, x: np.ndarray) -> np.ndarray:
        first, bias, second, offset = self.weights
        return 1 / (1 + np.exp(-(np.tanh(x @ first + bias) @ second + offset)))

    def step(self, x: np.ndarray, labels: np.ndarray, rate: float) -> float:
        """Takes one step down the gradient and returns the loss before it."""
        first, bias, second, offset = self.weights
        hidden = np.tanh(x @ first + bias)
        output = 1 / (1 + np.exp(-(hidden @ second + offset)))
        error = (output - labels) / len(labels)
        back = np.outer(error, second) * (1 - hidden**2)
        gradients = [x.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(keepdims=True)]
        self.steps += 1
        for index, gradient in enumerate(gradients):
            mean, square = self.means[index]
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            self.means[index] = (mean, square)
            scale = np.sqrt(1 - 0.999**self.steps) / (1 - 0.9**self.steps)
            self.weights[index] = self.weights[index] - rate * scale * mean / (np.sqrt(square) + 1e-8)
        clipped = np.clip(output, 1e-9, 1 - 1e-9)
        return float(-np.mean(labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped)))
