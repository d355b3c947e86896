"""Images and pairs of views: embeddings, densities and decoders against peers.

Run ``python -m benchmarks.images`` for all parts (more than an hour on one core), or
name some: embedders, views, density, decoder, generator, draws. Tables and figures go
to `results/images-*`, if neither ``--seeds`` nor ``--budget`` nor
``--validate`` is given. All on one thread: budgets are seconds of the processor.
"""

import argparse
import inspect
from importlib import import_module

import torch

PARTS = {
    "embedders": "_embedders",
    "views": "_views",
    "density": "_density",
    "decoder": "_decoder",
    "generator": "_generator",
    "draws": "_generator",
}


def run(part, options):
    """Run a part with those of the options that it knows."""
    try:
        function = getattr(import_module(f"benchmarks.images.{PARTS[part]}"), part)
    except ModuleNotFoundError as error:
        print(f"{part}: {error}")
        return
    known = inspect.signature(function).parameters
    function(**{name: value for name, value in options.items() if name in known})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {list(PARTS)}")
    parser.add_argument("--seeds", nargs="+", type=int, help="other seeds")
    parser.add_argument("--budget", type=float, help="CPU seconds of each training")
    parser.add_argument(
        "--validate",
        action="store_true",
        default=None,
        help="test on a fifth of the training rows, to choose settings",
    )
    arguments = vars(parser.parse_args())
    parts = arguments.pop("parts") or PARTS
    torch.set_num_threads(1)
    for part in parts:
        run(part, {k: v for k, v in arguments.items() if v is not None})
