"""SIGReg beside other losses: what makes embeddings of images Gaussian, and its price.

The same network, views and CPU seconds of steps for every loss. Labels probe the hidden
layer; of the embedding are told how far it is from a Gaussian, the energy distance of
draws of one Gaussian and of twenty components to held-out embeddings, and how often a
held-out image is likelier than one of another kind. Settings of each loss are chosen on
a fifth of the training samples: of those whose probes are within half a point of the
best on average, that with the least energy distance of one Gaussian. Test samples are
seen once.

Run ``python -m benchmarks.images.sigreg --all --jobs 2 --out FOLDER`` (half an hour on
two cores). Every training is a process of one thread that writes a file to the folder,
also on its own:
``... run fashion gje+sigreg --setting 1 --seed 0 --steps 100 --out FOLDER``.
``--table`` makes the tables of what is there.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from skorch.callbacks import Callback

from benchmarks.images._data import eurosat, fashion
from benchmarks.images._embedders import TASKS
from benchmarks.images._probes import few_labels, logistic, neighbors
from benchmarks.images._tables import (
    SEEDS,
    cells,
    energy_distance,
    quiet,
    seconds_of,
)
from benchmarks.shared.report import markdown, publish
from skgmje import GaussianMixture, GJEEmbedder
from skgmje.embedding import (
    GJELoss,
    SIGRegLoss,
    barlow_loss,
    diagnose,
    infonce_loss,
    vicreg_loss,
)

# Losses, and what is chosen of each.
LOSSES = {
    "gje": {"as it is": GJELoss()},
    "sigreg": {f"weight {w:g}": SIGRegLoss(w) for w in (0.02, 0.05, 0.2)},
    "gje+sigreg": {
        f"weight {w:g}": SIGRegLoss(w, gje=GJELoss()) for w in (0.3, 1.0, 3.0)
    },
    "vicreg": {
        f"covariances {w:g}": partial(vicreg_loss, weights=(25.0, 25.0, w))
        for w in (1.0, 5.0)
    },
    "infonce": {
        f"temperature {t:g}": partial(infonce_loss, temperature=t) for t in (0.2, 0.5)
    },
    "barlow": {
        f"redundancy {w:g}": partial(barlow_loss, redundancy_weight=w)
        for w in (0.005, 0.05)
    },
}
PROBES = {"logistic": logistic, "neighbours": neighbors, "100 labels": few_labels}
COLUMNS = {
    **dict.fromkeys(PROBES, 3),
    "normality": 2,
    "energy distance, K=1": 4,
    "energy distance, K=20": 4,
    "AUROC, K=1": 3,
    "AUROC, K=20": 3,
    "fit, CPU s": 0,
    "steps": 0,
}
# By which the seconds of EuroSAT are fewer.
SHARES = {
    "fashion": 1.0,
    "eurosat": 0.6,
}
SIZES = (1, 20)
# Images that train, and draws.
N_SAMPLES, N_DRAWS = 4000, 5000
# Steps, on as many samples, that tell what one costs.
TRIAL_STEPS, TRIAL_SAMPLES = 30, 1000
# How much worse probes may be, on average, for the sake of a Gaussian.
TOLERATED = 0.005


class Job(NamedTuple):
    """One training, or with no steps the count of how many fit into the seconds."""

    dataset: str
    loss: str
    setting: int
    seed: int
    validate: bool
    steps: int

    @property
    def name(self):
        """What its file is called."""
        part = "validation" if self.validate else "test"
        part = part if self.steps else "steps"
        return f"{self.dataset}-{self.loss}-{self.setting}-{self.seed}-{part}"


def load(dataset, *, validate):
    """Return the samples of a set of images."""
    split = TASKS[dataset].load()
    rows = np.random.default_rng(0).permutation(len(split.X))[:N_SAMPLES]
    split = split._replace(X=split.X[rows], y=split.y[rows])
    return split.validation if validate else split


def build(job):
    """Return an embedder."""
    loss = [*LOSSES[job.loss].values()][job.setting]
    params = {"encoder": "convnet", "batch_size": 256, "device": "cpu"}
    params |= TASKS[job.dataset].params
    return GJEEmbedder(loss=loss, random_state=job.seed, max_iter=job.steps, **params)


def measure(job, seconds):
    """Return what is found of a job."""
    split = load(job.dataset, validate=job.validate)
    model = build(job)
    if not job.steps:
        cost = seconds_of_step(model, split.X[:TRIAL_SAMPLES])
        return {"steps": round(seconds * SHARES[job.dataset] / cost)}
    found = {"fit, CPU s": seconds_of(model.fit, split.X), "steps": job.steps}
    model.set_params(output="hidden")
    rows = [model.transform(X).astype(np.float32) for X in (split.X, split.X_test)]
    for name, score in PROBES.items():
        found[name] = score(*rows, split.y, split.y_test)
    if not job.validate:
        figures = diagnose(model, split.X_test)
        for name in ("normality", "normality_pvalue", "effective_rank", "condition"):
            found[name] = figures[name]
    return found | densities(model.set_params(output="embedding"), split, job)


class Clock(Callback):
    """The CPU time at the end of every step."""

    def __init__(self):
        self.times = []

    def on_batch_end(self, net, **kwargs):
        """Look at the clock."""
        self.times.append(time.process_time())


def seconds_of_step(model, X):
    """Return the least CPU seconds of a step: others share the machine."""
    clock = Clock()
    model.set_params(max_iter=TRIAL_STEPS, trainer={"callbacks": [("clock", clock)]})
    quiet(model.fit, X)
    return float(np.min(np.diff(clock.times)))


def densities(model, split, job):
    """Return figures of mixtures of the embeddings, in units of their spread."""
    Z = model.transform(split.X).astype(float)
    mean, spread = Z.mean(axis=0), Z.var(axis=0).mean() ** 0.5

    def embed(images):
        return (model.transform(np.ascontiguousarray(images)) - mean) / spread

    Z, Z_test = (Z - mean) / spread, embed(split.X_test)
    # A choice of settings looks at one Gaussian, and at no other images.
    sizes = SIZES[:1] if job.validate else SIZES
    others = {} if job.validate else other_images(split, job)
    others = {name: embed(X) for name, X in others.items()}
    found = {}
    for size in sizes:
        mixture = GaussianMixture(size, shrinkage="auto", random_state=job.seed)
        quiet(mixture.set_params(reg_covar=1e-4).fit, Z)
        draws, _ = mixture.sample(N_DRAWS)
        found[f"energy distance, K={size}"] = energy_distance(draws, Z_test)
        inside = mixture.score_samples(Z_test)
        areas = {}
        for name, rows in others.items():
            scores = np.concatenate([inside, mixture.score_samples(rows)])
            is_inside = np.arange(len(scores)) < len(inside)
            areas[name] = roc_auc_score(is_inside, scores)
            found[f"AUROC, K={size}, {name}"] = areas[name]
        if areas:
            found[f"AUROC, K={size}"] = float(np.mean([*areas.values()]))
    found["energy distance, training"] = energy_distance(Z[:N_DRAWS], Z_test)
    return found


def other_images(split, job):
    """Return images of other kinds, of the same shape."""
    X = split.X_test
    rng = np.random.default_rng(job.seed)
    if job.dataset == "fashion":
        others = eurosat().X[: len(X), 2:30, 2:30].mean(axis=-1)
    else:
        grey = np.pad(fashion().X[: len(X)], ((0, 0), (2, 2), (2, 2)))
        others = np.repeat(grey[..., None], 3, axis=-1)
    return {
        "shuffled": rng.permuted(X.reshape(len(X), -1), axis=1).reshape(X.shape),
        "uniform": rng.uniform(0, 255, X.shape),
        "noise": X + 0.5 * X.std() * rng.standard_normal(X.shape),
        "other set": others,
    }


def run_one(job, options):
    """Do a job in this process, and write what it has found."""
    torch.set_num_threads(1)
    found = measure(job, options.seconds)
    (options.out / f"{job.name}.json").write_text(json.dumps(job._asdict() | found))


def launch(job, options):
    """Do a job in a process of its own, unless it is done; return what it has found."""
    path = options.out / f"{job.name}.json"
    if not path.exists():
        words = ["run", job.dataset, job.loss, "--out", options.out]
        words += ["--setting", job.setting, "--seed", job.seed, "--steps", job.steps]
        words += ["--seconds", options.seconds, *["--validate"] * job.validate]
        command = [sys.executable, "-m", "benchmarks.images.sigreg", *map(str, words)]
        threads = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        answer = subprocess.run(
            command, env=os.environ | threads, capture_output=True, text=True
        )
        if answer.returncode:
            print(f"{job.name} failed: {answer.stderr[-2000:]}", flush=True)
            return None
    return json.loads(path.read_text())


def run_all(options):
    """Count steps, choose settings, and run the rows of the tables."""
    start = time.perf_counter()
    pairs = [*itertools.product(SHARES, LOSSES)]
    with ThreadPoolExecutor(options.jobs) as pool:

        def done(jobs, stage):
            found = [*pool.map(lambda job: launch(job, options), jobs)]
            seconds = time.perf_counter() - start
            print(f"{stage}: {len(jobs)} jobs, {seconds:.0f} s so far", flush=True)
            return [one for one in found if one is not None]

        counts = done([Job(*p, 0, 0, False, 0) for p in pairs], "steps")
        steps = {(c["dataset"], c["loss"]): c["steps"] for c in counts}
        trials, rows = [], []
        for pair in steps:
            n_settings = len(LOSSES[pair[1]])
            known = (steps[pair],)
            if n_settings == 1:
                rows += [Job(*pair, 0, seed, False, *known) for seed in options.seeds]
            else:
                trials += [Job(*pair, k, 0, True, *known) for k in range(n_settings)]
        # Those without a choice fill the cores that the others leave idle.
        found = done(trials + rows, "choice")
        rows = []
        for pair in steps:
            own = [
                f for f in found if (f["dataset"], f["loss"]) == pair and f["validate"]
            ]
            if own:
                best = choose(own)
                rows += [Job(*pair, best, s, False, steps[pair]) for s in options.seeds]
        done(rows, "test")
    make_tables(options)


def choose(trials):
    """Return the setting of the least energy distance among those of good probes."""
    probes = [np.mean([trial[name] for name in PROBES]) for trial in trials]
    good = [
        trial
        for trial, mean in zip(trials, probes, strict=True)
        if mean >= max(probes) - TOLERATED
    ]
    return min(good, key=lambda trial: trial["energy distance, K=1"])["setting"]


def make_tables(options):
    """Write the tables of both sets of images, of the files in the folder."""
    found = [json.loads(p.read_text()) for p in sorted(options.out.glob("*-test.json"))]
    found = [one for one in found if one["loss"] in LOSSES]
    for dataset in SHARES:
        rows, results = [], {}
        for loss, settings in LOSSES.items():
            own = [f for f in found if (f["dataset"], f["loss"]) == (dataset, loss)]
            if own:
                label = f"{loss}, {[*settings][own[0]['setting']]}"
                rows.append([label, *cells(own, COLUMNS)])
                results[label] = own
        table = markdown(["loss, chosen setting", *COLUMNS], rows)
        trials = [
            json.loads(path.read_text())
            for path in sorted(options.out.glob(f"{dataset}-*-validation.json"))
        ]
        payload = {"results": results, "validation": trials}
        name = f"images-sigreg-{dataset}"
        publish(__file__, name, payload, table, folder=options.out)
        print(f"{dataset}\n{table}\n", flush=True)


def main():
    """Read the command line, and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", nargs="*", help="run DATASET LOSS")
    parser.add_argument("--all", action="store_true", help="all rows")
    parser.add_argument("--table", action="store_true", help="of files in the folder")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument(
        "--seconds", type=float, default=25.0, help="of steps, Fashion-MNIST"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the files")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--setting", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=0, help="0 counts them")
    parser.add_argument("--validate", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.all:
        run_all(options)
    elif options.table:
        make_tables(options)
    elif len(options.what) == 3 and options.what[0] == "run":
        how = options.setting, options.seed, options.validate, options.steps
        run_one(Job(*options.what[1:], *how), options)
    else:
        parser.error("say --all, --table, or run DATASET LOSS")


if __name__ == "__main__":
    main()
