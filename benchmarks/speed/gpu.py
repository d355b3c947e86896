"""What a CUDA device makes of scoring, EM, the kernel costs and training.

Wall seconds on the device, the best of three, after a call that warms up;
beside them the share of what the device reaches in a matrix product and a copy
of its own memory, and the speed against this machine's CPU with all threads,
where the CPU sees fewer rows and is scaled up. Without CUDA the script says so.

Run ``python -m benchmarks.speed.gpu``, or name some of its parts. In three minutes:
``python -m benchmarks.speed.gpu --rows 2000000 --cost-rows 2048 --images 10000 --epochs
20 --no-compile --limit 150 --out FOLDER``, where each part ends with the row that its
share of the seconds runs out in.
"""

import argparse
import itertools
import math
import time
import warnings
from functools import partial

import numpy as np
import torch

from benchmarks.shared.report import markdown, publish
from benchmarks.speed._gpu_images import image_rows
from skgmje import KernelMixtureDensity, Mixture
from skgmje.costs import COSTS
from skgmje.em import expectation_maximization
from skgmje.gaussian import grams

SHAPES = [(d, k) for d in (16, 64) for k in (64, 512)]

# Rows on the CPU, and a limit in seconds that decides how many the device gets.
CPU_ROWS = 20_000
BUDGET = 20.0


def clock(function, device, repeats=3):
    """Return the least wall seconds of a call, the device's work included."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
        if sum(seconds) > BUDGET:
            break
    return min(seconds[1:] or seconds)


def measure_limits(device, size=4096):
    """Return flop/s of a matrix product, by data type, and bytes/s of a copy."""
    limits = {}
    for dtype in (torch.float32, torch.float64):
        A = torch.ones((size, size), dtype=dtype, device=device)
        limits[dtype] = 2 * size**3 / clock(lambda: A @ A, device)  # noqa: B023
    wide = torch.ones(2**26, device=device)
    limits["copy"] = 2 * 4 * 2**26 / clock(lambda: wide.clone(), device)
    return limits


def draw(n, d, k, dtype, device):
    """Return weights, means, covariances, and n rows around the means."""
    generator = torch.Generator(device).manual_seed(0)
    options = {"generator": generator, "dtype": dtype, "device": device}
    roots = torch.randn((k, d, d), **options) / d**0.5
    eye = torch.eye(d, dtype=dtype, device=device)
    covariances = roots @ roots.mT + eye / 2
    means = 2 * torch.randn((k, d), **options)
    component = torch.randint(k, (n,), generator=generator, device=device)
    X = torch.randn((n, d), **options)
    X += means[component]
    weights = torch.full((k,), 1 / k, dtype=dtype, device=device)
    return (weights, means, covariances), X


def score(mixture, X):
    """Log-densities of the rows."""
    return mixture.log_prob(X)


def iterate(mixture, X):
    """One E-step and one M-step."""
    return expectation_maximization(X, mixture, max_iter=1)


# How often the products of all pairs of features are multiplied.
PASSES = {"score_samples": (score, 1), "EM iteration": (iterate, 2)}


def dense_rows(n, device, limits):
    """Yield the figures of scoring and EM with full covariances."""
    for dtype in (torch.float32, torch.float64):
        for d, k in SHAPES:
            for what, (function, passes) in PASSES.items():
                flops = 2 * passes * k * (d + 1) * (d + 2) / 2
                figures = {"what": f"{what}, d={d}, K={k}", "dtype": _name(dtype)}
                try:
                    figures |= _dense(function, n, d, k, dtype, device)
                except (RuntimeError, TypeError, ValueError, AttributeError) as error:
                    yield figures | {"skipped": _first_line(error)}
                    continue
                size = torch.finfo(dtype).bits / 8
                compute = flops / limits[dtype]
                memory = d * size / limits["copy"]
                least = max(compute, memory) * figures["rows"]
                figures["fraction"] = least / figures["seconds"]
                figures["limit"] = "arithmetic" if compute > memory else "memory"
                moved = figures["rows"] * d * size
                figures["bytes_per_second"] = moved / figures["seconds"]
                yield figures


def _dense(function, n, d, k, dtype, device):
    parameters, X = draw(min(n, CPU_ROWS), d, k, dtype, device)
    mixture = Mixture(*parameters)
    trial = clock(lambda: function(mixture, X), device, repeats=1)
    rows = n if trial * n / len(X) < BUDGET else max(len(X), int(BUDGET / trial) * 1000)
    rows = min(n, rows)
    host = Mixture(*(part.cpu().numpy() for part in parameters))
    host_rows = X.cpu().numpy()
    del X
    X = draw(rows, d, k, dtype, device)[1]
    seconds = clock(lambda: function(mixture, X), device)
    per_row = clock(lambda: function(host, host_rows), "cpu", 1) / len(host_rows)
    return {
        "rows": rows,
        "seconds": seconds,
        "cpu_seconds": per_row * rows,
        "speed_up": per_row * rows / seconds,
    }


def cost_rows(n, device, limits):
    """Yield the figures of value and gradient of the costs, as many centres as rows."""
    for dtype in (torch.float32, torch.float64):
        for name, cost in COSTS.items():
            figures = {"what": f"{name} cost and gradient, d=16", "dtype": _name(dtype)}
            try:
                seconds = _cost_seconds(cost, n, dtype, device, 3)
                host = _cost_seconds(cost, n, dtype, "cpu", 0)
            except (RuntimeError, TypeError, ValueError) as error:
                yield figures | {"skipped": _first_line(error)}
                continue
            yield figures | {
                "rows": n,
                "seconds": seconds,
                "cpu_seconds": host,
                "speed_up": host / seconds,
            }


def _cost_seconds(cost, n, dtype, device, repeats):
    generator = torch.Generator().manual_seed(0)
    X, centers = torch.randn((2, n, 16), generator=generator, dtype=dtype).to(device)
    centers.requires_grad_()

    def gradient():
        torch.autograd.grad(cost(grams(X, centers, 1.5)), centers)

    return clock(gradient, device, repeats)


def training_rows(n, device, limits, *, compilers=(False, True)):
    """Yield gradient steps per second of 256 centres, batches of 1024 rows."""
    X = np.random.default_rng(0).standard_normal((n, 16)).astype(np.float32)
    for cost, compiled in itertools.product(("scalar", "svd"), compilers):
        what = f"training step, {cost} cost" + (", torch.compile" if compiled else "")
        figures = {"what": what, "dtype": "float32"}
        try:
            seconds, start = _step_seconds(X, cost, device, compiled=compiled)
        except Exception as error:  # a compiler may fail in its own words
            yield figures | {"skipped": _first_line(error)}
            continue
        if not compiled:
            host, _ = _step_seconds(X, cost, "cpu", compiled=False)
        yield figures | {
            "rows": 1024,
            "seconds": seconds,
            "steps_per_second": 1 / seconds,
            "first_fit_seconds": start,
            "cpu_seconds": host,
            "speed_up": host / seconds,
        }


def _step_seconds(X, cost, device, *, compiled, short=50, long=250):
    """Return seconds per step, by two fits of different length, and of the first."""

    def fit(max_iter):
        start = time.perf_counter()
        KernelMixtureDensity(
            256,
            cost=cost,
            covariance_type="spherical",
            shrinkage=0,
            refine="weights",
            bandwidth=1.5,
            max_iter=max_iter,
            batch_size=1024,
            tol=0,
            device=device,
            trainer={"compile": compiled},
            random_state=0,
        ).fit(X)
        return time.perf_counter() - start

    first = fit(short)
    return max(1e-9, fit(long) - fit(short)) / (long - short), first


def _name(dtype):
    return str(dtype).removeprefix("torch.")


def _first_line(error):
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:80]}"


def table(results):
    """Return the Markdown table of all rows."""
    header = (
        "what", "precision", "rows", "seconds", "share of the limit", "GB/s",
        "against the CPU",
    )  # fmt: skip
    return markdown(header, [_cells(figures) for figures in results])


def _cells(figures):
    lead = [figures["what"], figures["dtype"]]
    if "skipped" in figures:
        return [*lead, "", figures["skipped"], "", "", ""]
    share, limit = figures.get("fraction"), figures.get("limit", "")
    rate = figures.get("bytes_per_second")
    return [
        *lead,
        f"{figures['rows']:.3g}",
        f"{figures['seconds']:.3g}",
        "" if share is None else f"{100 * share:.0f} % of {limit}",
        "" if rate is None else f"{rate / 1e9:.0f}",
        f"{figures['speed_up']:.1f}x" if "speed_up" in figures else "",
    ]


PARTS = ("dense", "costs", "training", "images")


def main(device, parts, limit=math.inf, folder=None, *, without_cpu=False):
    """Measure, print the tables, and publish them if the device is a GPU."""
    left_out = {"cpu_seconds", "speed_up"} if without_cpu else set()
    if device == "cuda" and not torch.cuda.is_available():
        print("No CUDA device here: nothing to measure.")
        return
    name = torch.cuda.get_device_name() if device == "cuda" else "the CPU"
    limits = measure_limits(device, 4096 if device == "cuda" else 1024)
    note = (
        f"{name}: float32 {limits[torch.float32] / 1e12:.2f}, float64 "
        f"{limits[torch.float64] / 1e12:.2f} TFLOP/s, copy {limits['copy'] / 1e9:.0f} "
        f"GB/s; {torch.get_num_threads()} threads on the CPU."
    )
    print(note, flush=True)
    speeds = {str(key): value for key, value in limits.items()}
    for part, rows in parts.items():
        results, start = [], time.perf_counter()
        for found in rows(device, limits):
            figures = {name: found[name] for name in found.keys() - left_out}
            results.append(figures)
            print(" | ".join(_cells(figures)), flush=True)
            if time.perf_counter() - start > limit / len(parts):
                print(f"{part} ends here: its seconds are over", flush=True)
                break
        text = f"{table(results)}\n\n{note}"
        print(f"\n{text}\n")
        if device == "cuda":
            payload = {"device": name, "limits": speeds, "rows": results}
            publish(__file__, f"gpu-{part}", payload, text, folder=folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {PARTS}")
    parser.add_argument("--device", default="cuda", help="'cpu' tries the script")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--cost-rows", type=int, default=4096)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=100, help="of images")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds in all")
    parser.add_argument(
        "--without-cpu", action="store_true", help="where others use the CPU"
    )
    parser.add_argument("--out", help="folder of the tables, in place of `results`")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no parts {sorted(unknown)}; there are {PARTS}")
    warnings.simplefilter("ignore")
    compilers = (False,) if arguments.no_compile else (False, True)
    known = {
        "dense": partial(dense_rows, arguments.rows),
        "costs": partial(cost_rows, arguments.cost_rows),
        "training": partial(training_rows, 20_000, compilers=compilers),
        "images": partial(image_rows, arguments.images, epochs=arguments.epochs),
    }
    parts = {name: known[name] for name in arguments.parts or PARTS}
    options = {"limit": arguments.limit, "folder": arguments.out}
    main(arguments.device, parts, **options, without_cpu=arguments.without_cpu)
