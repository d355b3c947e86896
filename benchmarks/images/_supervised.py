"""The ceiling: the same network, trained with all labels."""

import math
import time

import numpy as np
import torch
from torch import nn

from benchmarks.images._tables import quiet
from skgmje import GJEEmbedder
from skgmje.embedding._views import AUGMENTATIONS, OnImages

BATCH_ROWS = 256
LEARNING_RATE = 2e-3


def supervised(split, augmentation, seconds, seed):
    """Train for so many CPU seconds; return accuracy and costs of the test rows."""
    untrained = GJEEmbedder(
        64,
        encoder="convnet",
        augmentation=augmentation,
        max_iter=0,
        random_state=seed,
    )
    # Its head is another; the body has seen nothing.
    body = quiet(untrained.fit, split.X).encoder_.body.float()
    rows, test = _rows(split)
    head = nn.Linear(body(rows[:2]).shape[1], int(split.y.max()) + 1)
    labels = torch.from_numpy(split.y)
    network = nn.Sequential(body, head)
    shape = (*split.X.shape[1:], 1)[:3]
    views = OnImages(AUGMENTATIONS[augmentation], shape)
    random_state = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=1e-4)
    start, n_steps, spent = time.process_time(), 0, 0.0
    network.train()
    while spent < seconds:
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * _pace(spent / seconds)
        batch = torch.randint(len(rows), (BATCH_ROWS,), generator=random_state)
        logits = network(views(rows[batch], random_state))
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits, labels[batch]).backward()
        optimizer.step()
        n_steps, spent = n_steps + 1, time.process_time() - start
    with torch.inference_mode():
        answers = network.eval()(test).argmax(dim=1).numpy()
    accuracy = float(np.mean(answers == split.y_test))
    return {"logistic": accuracy, "fit, CPU s": spent, "steps": n_steps}


def _pace(done):
    """Return the share of the learning rate: up in a twentieth, down by a cosine."""
    return min(1.0, done / 0.05 + 0.02) * (1 + math.cos(math.pi * done)) / 2


def _rows(split):
    """Return flat images in units of each channel, tensors."""
    first = split.X.reshape(*split.X.shape[:3], -1).astype(np.float32)
    loc, scale = first.mean(axis=(0, 1, 2)), first.std(axis=(0, 1, 2))
    parts = [
        (part.reshape(len(part), *first.shape[1:]) - loc) / scale
        for part in (split.X, split.X_test)
    ]
    return [torch.from_numpy(p.reshape(len(p), -1).astype(np.float32)) for p in parts]
