"""Densities on real data, beside their peers.

Run ``python benchmarks/tables.py density`` (two hours on one core), or name sets:
``python benchmarks/tables.py density geyser energy --seeds 0 1 --only "zuko NSF"``.
What is known already is not measured again: delete
``benchmarks/results/tables-density.json`` for that. ``conditional`` (half an hour)
measures what is missing, or the sets that are named. Data: see README.md.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")


def density(arguments):
    """Log-likelihoods of densities."""
    from _density_tables import PEERS, SEEDS, run

    run(arguments.sets, arguments.seeds or SEEDS, arguments.only or tuple(PEERS))


def conditional(arguments):
    """Stacked conditional densities; ``--only splits`` covers all official splits."""
    from _conditional_tables import all_splits, run

    (all_splits if arguments.only == ["splits"] else run)(arguments.sets)


PARTS = {"conditional": conditional, "density": density}


def main():
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--seeds", nargs="*", type=int)
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    PARTS[arguments.part](arguments)


if __name__ == "__main__":
    main()
