"""How easy the library is to read, in figures, beside those of another checkout.

    python -m benchmarks.architecture  # the figures of this checkout
    python -m benchmarks.architecture --before FOLDER  # beside another's

Definitions, all of the folder ``skgmje``:

files, lines
    Python files and their lines.
lines of code
    Lines that are not blank, no comment and in no docstring.
files entered, depth
    By one call in one thread, on 300 samples of 3 features: library files in which a
    function is entered, and the largest number of library functions that are open at
    once. The call is made once before, so that imports do not count. Comprehensions
    and generators count as the function that they stand in.
cycles of files
    Groups of files that import each other, imports inside functions included.
mixins with one user
    Classes that define no ``__init__``, are named ``...Mixin`` or ``...Answers``, and
    that exactly one class of the library extends.
small files with one importer
    Files of at most 60 lines of code that exactly one other file imports, without
    ``__init__.py``.
places that name a member
    Statements outside its own file, docstrings aside, that name an example of its kind:
    what a newcomer to a registry must write, or what knows it without being told. An
    import does not count beside the statement that it serves.
CPU seconds
    Process time, the least of several runs in turns with the other checkout's; only the
    ratio means something.
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMALL_CODE_LINES = 60

# One call each, timed or traced in a process of its own; `call()` is what counts.
PREPARE = """
import warnings; warnings.simplefilter("ignore")
import numpy as np
from sklearn.datasets import load_iris
import skgmje
from skgmje import *
rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3)); X[:150] += 3
y = X[:, 0] + rng.normal(size=300)
one = GaussianMixture(2, random_state=0).fit(X)
"""
TRIPS = {
    "GaussianMixture.score_samples": "call = lambda: one.score_samples(X)",
    "GaussianMixture(2).fit": (
        "call = lambda: GaussianMixture(2, random_state=0).fit(X)"
    ),
    "KernelMixtureDensity(cost='svd').fit": (
        "call = lambda: KernelMixtureDensity(cost='svd', random_state=0).fit(X)"
    ),
    "ConditionalMixtureDensity.fit": (
        "call = lambda: ConditionalMixtureDensity(random_state=0).fit(X, y)"
    ),
    "GMJEEmbedder.fit": "call = lambda: GMJEEmbedder(random_state=0).fit(X)",
    "StackingDensity.fit": "call = lambda: StackingDensity(random_state=0).fit(X)",
}
TIMED = {
    "GaussianMixture('auto').fit of iris": (
        "iris = load_iris().data\n"
        "call = lambda: GaussianMixture('auto', covariance_type='auto', "
        "shrinkage='auto', random_state=0).fit(iris)",
        1,
    ),
    "score_samples of one sample, K = d = 128": (
        "d = 128\n"
        "A = np.stack([np.eye(d) + 0.1 * (lambda B: B @ B.T / d)(rng.normal(size=(d, d)"
        ")) for _ in range(d)])\n"
        "big = GaussianMixture.from_parameters(np.full(d, 1 / d), "
        "rng.normal(size=(d, d)), A)\n"
        "row = rng.normal(size=(1, d))\n"
        "call = lambda: big.score_samples(row)",
        200,
    ),
}
TRACE = """
import json, os, sys
home = os.path.dirname(skgmje.__file__)
files, functions, depth, deepest = set(), set(), 0, 0
def watch(frame, event, arg):
    global depth, deepest
    code = frame.f_code
    if event not in ("call", "return") or not code.co_filename.startswith(home):
        return
    if code.co_name.startswith("<") and code.co_name != "<lambda>":
        return
    if event == "return":
        depth -= 1
        return
    depth += 1
    deepest = max(deepest, depth)
    files.add(code.co_filename)
    functions.add(code)
call()
sys.setprofile(watch)
call()
sys.setprofile(None)
print(json.dumps([len(files), len(functions), deepest]))
"""
CLOCK = """
import time
call()
best = np.inf
for _ in range({repeats}):
    start = time.process_time()
    for _ in range({number}):
        call()
    best = min(best, time.process_time() - start)
print(best)
"""
# An example of each kind: its own file is the one that defines the first name.
MEMBERS = {
    "cost": ("vector_matrix_cost", "vector-matrix"),
    "covariance type": ("Spherical", "spherical"),
    "source": ("fit_memory_bank", "memory-bank"),
    "estimator": ("TransformedDensity", "TransformedDensity"),
}


def run(code, root):
    """Return what a script prints that imports the library of another folder."""
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=env, cwd="/", check=True, capture_output=True, text=True
    ).stdout


def trip(name, root):
    """Return files entered, functions entered and depth of one call."""
    return json.loads(run(PREPARE + TRIPS[name] + TRACE, root))


def cpu_seconds(name, roots, rounds=3):
    """Return the least CPU time of a call in each checkout, measured in turns."""
    setup, number = TIMED[name]
    code = PREPARE + setup + CLOCK.format(repeats=5, number=number)
    times = [[float(run(code, root)) for root in roots] for _ in range(rounds)]
    return [min(column) for column in zip(*times, strict=True)]


def docstrings(tree):
    """Return the nodes of all docstrings."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and ast.get_docstring(node) is not None:
            yield node.body[0]


def code_lines(source):
    """Count the lines of code of a file."""
    tree = ast.parse(source)
    inside = {
        number
        for node in docstrings(tree)
        for number in range(node.lineno, node.end_lineno + 1)
    }
    return sum(
        bool(line.strip()) and not line.strip().startswith("#")
        for number, line in enumerate(source.splitlines(), 1)
        if number not in inside
    )


class Library:
    """The files of a checkout, and who imports whom."""

    def __init__(self, root):
        self.root = Path(root)
        self.paths = sorted((self.root / "skgmje").rglob("*.py"))
        self.modules = {self._module(path): path for path in self.paths}
        self.sources = {path: path.read_text() for path in self.paths}
        self.trees = {path: ast.parse(text) for path, text in self.sources.items()}
        self.imports = {m: set(self._imported(p)) for m, p in self.modules.items()}

    def _module(self, path):
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _imported(self, path):
        for node in _run(self.trees[path]):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield full if full in self.modules else node.module
            elif isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)

    def sizes(self):
        """Return the numbers of files, lines and lines of code."""
        texts = self.sources.values()
        n_lines = sum(text.count("\n") for text in texts)
        return len(self.paths), n_lines, sum(map(code_lines, texts))

    def cycles(self):
        """Return the groups of modules that import each other."""
        reached = {}
        for module in self.modules:
            found, new = set(), {module}
            while new:
                new = {t for m in new for t in self.imports[m] if t in self.modules}
                new -= found
                found |= new
            reached[module] = found
        groups = {
            frozenset(m for m in reached[module] if module in reached[m])
            for module in self.modules
            if module in reached[module]
        }
        return sorted(map(sorted, groups))

    def lonely_mixins(self):
        """Return the mixins that one class extends."""
        users, classes = defaultdict(set), []
        for tree in self.trees.values():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    classes.append(node)
                    for base in node.bases:
                        users[ast.unparse(base).split(".")[-1]].add(node.name)
        return sorted(
            node.name
            for node in classes
            if re.search("(Mixin|Answers)$", node.name)
            and len(users[node.name]) == 1
            and not any(getattr(part, "name", "") == "__init__" for part in node.body)
        )

    def small_files(self):
        """Return the small files that one other file imports."""
        importers = defaultdict(set)
        for module, targets in self.imports.items():
            for target in targets:
                importers[target].add(module)
        return sorted(
            module
            for module, path in self.modules.items()
            if path.name != "__init__.py"
            and code_lines(self.sources[path]) <= SMALL_CODE_LINES
            and len(importers[module] - {module}) == 1
        )

    def places(self, name, word):
        """Return the statements outside its own file that name a member."""
        pattern = re.compile(rf"\b{name}\b|['\"]{word}['\"]")
        found = []
        for path, tree in self.trees.items():
            own = any(
                getattr(node, "name", None) == name
                for node in ast.iter_child_nodes(tree)
            )
            if own:
                continue
            skipped = {id(node) for node in docstrings(tree)}
            hits = [
                (path.relative_to(self.root), node.lineno)
                for node in _simple_statements(tree)
                if id(node) not in skipped
                and not isinstance(node, ast.Import | ast.ImportFrom)
                and pattern.search(ast.unparse(node))
            ]
            found += hits
        return found


def _run(tree):
    """Yield all nodes but those that only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from (each for part in node.orelse for each in ast.walk(part))
        else:
            yield node
            yield from _run(node)


def _simple_statements(tree):
    """Return the statements that hold no other, and the heads of those that do."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and not hasattr(node, "body"):
            yield node


def figures(root):
    """Return the table of a checkout, {figure: text}."""
    library = Library(root)
    n_files, n_lines, n_code = library.sizes()
    table = {"files; lines; lines of code": f"{n_files}; {n_lines}; {n_code}"}
    for name in TRIPS:
        files, functions, depth = trip(name, root)
        key = f"files; functions entered; depth of {name}"
        table[key] = f"{files}; {functions}; {depth}"
    table["cycles of files"] = str(len(library.cycles()))
    table["mixins with one user"] = str(len(library.lonely_mixins()))
    table["small files with one importer"] = str(len(library.small_files()))
    for kind, names in MEMBERS.items():
        table[f"places that name a {kind}"] = str(len(library.places(*names)))
    return table


def main():
    """Print the figures, and with another checkout those of both."""
    # Here, since tests load this file by its path alone.
    from benchmarks.shared.report import markdown, publish

    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=Path, help="another checkout")
    before = parser.parse_args().before
    roots = [ROOT] if before is None else [before, ROOT]
    tables = [figures(root) for root in roots]
    header = ["figure", *(["before"] if before else []), "now"]
    rows = [[key, *(table[key] for table in tables)] for key in tables[-1]]
    if before is not None:
        for name in TIMED:
            old, new = cpu_seconds(name, roots)
            rows.append([f"CPU time of {name}, now / before", "1", f"{new / old:.2f}"])
    table = markdown(header, rows)
    # Its table lies beside that of the faults.
    script = Path(__file__).parent / "library" / "architecture.py"
    publish(script, "architecture", {"header": header, "rows": rows}, table)
    print(table)


if __name__ == "__main__":
    main()
