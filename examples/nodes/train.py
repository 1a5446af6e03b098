"""Fits a line on all nodes of a job at once, each with its own part of the data.

What torch.distributed does is done by hand here, with nothing but sockets: the same variables lead the nodes to each other.
"""

import argparse
import importlib.util
import json
import os
import random
import socket
import struct
import time


class Group:
    """The processes of the job, one or more on each of its nodes: all send to the first one, which adds up and sends back."""

    def __init__(self):
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        address = (os.environ.get("MASTER_ADDR", "127.0.0.1"), int(os.environ.get("MASTER_PORT", 29500)))
        self.peers = []
        if self.size == 1:
            return
        if self.rank == 0:
            with socket.create_server(("", address[1])) as server:
                self.peers = [server.accept()[0] for _ in range(self.size - 1)]
        else:
            self.peers = [self.join(address)]

    @staticmethod
    def join(address):
        for _ in range(600):
            try:
                return socket.create_connection(address)
            except OSError:  # It does not listen yet.
                time.sleep(0.1)
        raise SystemExit(f"the first node does not listen at {address}")

    def sum(self, values):
        """Returns the sums over all nodes; each node has to call it equally often."""
        form = struct.Struct(f"<{len(values)}d")
        receive = lambda peer: form.unpack(peer.recv(form.size, socket.MSG_WAITALL))
        if self.rank == 0:
            total = [sum(parts) for parts in zip(values, *map(receive, self.peers))]
            for peer in self.peers:
                peer.sendall(form.pack(*total))
            return total
        for peer in self.peers:
            peer.sendall(form.pack(*values))
            return list(receive(peer))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--out", default="model")
    arguments = parser.parse_args()

    group = Group()
    print(f"process {group.rank} of {group.size} on {socket.gethostname()}", flush=True)
    generator = random.Random(group.rank)
    data = [(x, 3 * x + 1 + generator.gauss(0, 0.1)) for x in (generator.uniform(-1, 1) for _ in range(500))]

    # Every node reports its part; the MLflow run is one, and the first node tells it how the training goes.
    mlflow = None
    if group.rank == 0 and "MLFLOW_TRACKING_URI" in os.environ and importlib.util.find_spec("mlflow"):
        import mlflow

        mlflow.log_params({"steps": arguments.steps, "nodes": group.size})

    slope = offset = 0.0
    for step in range(arguments.steps):
        errors = [(slope * x + offset - y, x) for x, y in data]
        loss, by_slope, by_offset, count = group.sum(
            [sum(e * e for e, _ in errors), sum(e * x for e, x in errors), sum(e for e, _ in errors), len(errors)]
        )
        slope -= by_slope / count
        offset -= by_offset / count
        if mlflow and step % 20 == 0:
            mlflow.log_metric("loss", loss / count, step=step)
    print(f"y = {slope:.2f} x + {offset:.2f}", flush=True)

    os.makedirs(arguments.out, exist_ok=True)
    with open(os.path.join(arguments.out, "line.json"), "w") as file:
        json.dump({"slope": slope, "offset": offset, "node": group.rank}, file)


if __name__ == "__main__":
    main()
