"""Train a network with all processes of torchrun; see README.rst for the line.

Only the two lines about the process group are not in a script for one process.
"""

import os

from sklearn.datasets import load_digits
from torch import distributed

from skgmje import GJEEmbedder


def main():
    distributed.init_process_group()
    X = load_digits().data
    # Each process has all rows, and embeds its share of each batch.
    trainer = {"checkpoint_dir": "train-checkpoints"}
    embedder = GJEEmbedder(8, max_iter=200, trainer=trainer, random_state=0)
    embedder.fit(X)
    if os.environ["RANK"] == "0":
        embedder.save("embedder.safetensors")
        print(f"mutual information of two views: {embedder.score(X):.2f} nats")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
