"""Held-out log-likelihoods of densities on real data, beside their peers.

Run ``python -m benchmarks.density.tables`` (two hours on one core), or name sets:
``python -m benchmarks.density.tables geyser energy --seeds 0 1 --only "zuko NSF"``.
What is known already is not measured again: delete ``results/tables-density.json`` for
that. Data: see README.md of `benchmarks`.
"""

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks.density._table_data import honest_split, random_split
from benchmarks.density._table_peers import PEERS, measure
from benchmarks.shared.data import FOLDER
from benchmarks.shared.report import markdown, publish

NAME = "tables-density"
FILE = Path(__file__).parent / "results" / f"{NAME}.json"
SEEDS = (0, 1, 2)
SETS = ("power_plant", "energy", "gas_turbine", "magic_gamma", "geyser", "concrete")
HONEST = {"concrete by recipe": "concrete", "gas_turbine by year": "gas_turbine"}

CAVEATS = """\
Mean log-likelihood of test rows in nats (higher is better), mean over the seeds in
brackets, and CPU seconds of one fit. How to read it:

- Columns with ties are spread by *uniform* noise. Densities made of boxes model it
  exactly, Gaussian mixtures and flows do not: that is worth up to 0.18 nats for each
  such column.
- concrete repeats the same recipe at several ages, and gas_turbine is an hourly
  series: random splits reward models that remember neighbours. The rows "by recipe"
  and "by year" hold whole recipes, and later years, out; later years
  differ so much that wide kernels do best.
- Sizes and shrinkages that the stack tries were looked at on these sets; what it
  chooses is chosen inside of each fit.
- Flows train at most 40 CPU seconds, with one setting.
- A lead is the mean over splits of the difference to the best peer of the same split,
  with its standard error, on splits where at least three peers were run."""
LEAST = (
    "Random splits flatter all models on concrete (a recipe at several ages) and "
    'gas_turbine (an hourly series); the rows "by" hold out whole recipes, and years.'
)
# What the README shows, and how many peers a lead needs.
SHORT = (
    "stack, fast",
    "stack, thorough",
    "zuko NSF",
    "scikit-learn mixture, BIC",
    "scikit-learn kernels, CV",
)
MOST = 3


def run(names, seeds=SEEDS, labels=tuple(PEERS)):
    """Measure what is not known yet, and publish all that is."""
    known = _known()
    for name in names or (*SETS, *HONEST):
        source = HONEST.get(name, name)
        if not (FOLDER / f"{source}.npz").exists():
            print(f"{name}: skipped, {FOLDER / source}.npz is missing")
            continue
        split_of = honest_split if name in HONEST else random_split
        for seed in seeds:
            split = split_of(source, seed)
            for label in labels:
                if str(seed) in known.get(name, {}).get(label, {}):
                    continue
                answer = measure(label, split, seed)
                print(name, seed, label, *np.round(answer, 3), flush=True)
                # Another process may have measured other sets meanwhile.
                known = _known()
                known.setdefault(name, {}).setdefault(label, {})[str(seed)] = answer
                FILE.write_text(json.dumps({"results": known}))
    known = _known()
    full, short = _table(known, tuple(PEERS)), _table(known, SHORT)
    note = f"Splits in brackets, CPU seconds of a fit. {LEAST}"
    publish(
        __file__,
        NAME,
        {"results": known},
        f"{CAVEATS}\n\n{full}",
        excerpt=f"{short}\n\n{note}",
    )


def _known():
    return json.loads(FILE.read_text())["results"] if FILE.exists() else {}


def _table(results, labels):
    rows = []
    for name in (name for name in (*SETS, *HONEST) if name in results):
        cells = [_cell(results[name].get(label, {})) for label in labels]
        rows.append([name, *cells, _lead(results[name])])
    header = ["data", *labels, "thorough less best peer"]
    return markdown(header, rows)


def _cell(runs):
    if not runs:
        return "not run"
    score, seconds = np.mean([*runs.values()], axis=0)
    return f"{score:.3f} ({len(runs)}) {seconds:.1f} s"


def _lead(runs):
    """Return the lead over the best peer of the same split, and its standard error."""
    stack = runs.get("stack, thorough", {})
    peers = [runs.get(label, {}) for label in PEERS if not label.startswith("stack")]
    leads = []
    for seed, (score, _) in stack.items():
        others = [peer[seed][0] for peer in peers if seed in peer]
        # The best of a few cheap peers would flatter.
        leads += [score - max(others)] if len(others) >= MOST else []
    if not leads:
        return "not run"
    if len(leads) == 1:
        return f"{leads[0]:+.3f} (1)"
    error = np.std(leads, ddof=1) / np.sqrt(len(leads))
    return f"{np.mean(leads):+.3f} +- {error:.3f} ({len(leads)})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    parser.add_argument("--only", nargs="*", default=tuple(PEERS))
    arguments = parser.parse_args()
    run(arguments.sets, arguments.seeds, arguments.only)
