"""Imports point down; a file is one thought, and every noun has one place."""

import ast
import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES = 800
MANY_METHODS = 6

# Of no subject: whoever stands above may import them.
EVERYBODYS = {"_training", "_persistence"} | {
    path.stem for path in (ROOT / "skgmje").glob("_[a-z]*.py")
}
# Private files of a subject that others import, and why. Who removes an import removes
# its line; a new line needs a reason that no public name would serve.
SHARED = {
    "compose._bijections": "maps of the members of stacks",
    "compose._image_mass": "which densities are mixtures, and draws from any",
    "compose._marginal_gaussianizer": "the other coordinates extend its base class",
    "compose._residual_coordinates": "a space of the stack, without its package",
    "compose._transformed": "what stacks and detectors build, without its package",
    "compose._transformed_mixture": "the value, without its package",
    "conditional._base": "predict methods of one mixture for each sample",
    "conditional._models": "fitted p(y|x) as values: embeddings hold them",
    "conditional._source": "how a source is fitted, which embeddings say too",
    "conditional._sources": "sources by name: embeddings choose among them too",
    "costs._autograd": "the cost of centers that are drawn afresh, which needs torch",
    "costs._costs": "how a cost is named in a parameter, and which can be trained",
    "em._background": "what stands beside the components of a mixture",
    "em._bandwidth": "one bandwidth, one search of nearest centers",
    "em._blocks": "samples in blocks, which every check knows",
    "em._em": "one E-step and one M-step for all that fit mixtures",
    "em._covariance_models": "the models by name, which an estimator knows its own of",
    "em._labelled": "classes as components, whose labelled samples stay",
    "em._missing": "means and gaps of samples with missing values",
    "em._noise": "measurement errors of samples, checked and scored",
    "em._select": "one selection of settings and pools, one 'auto' fit",
    "em._start": "one start of all fits from labels",
    "em._start_pool": "the starts of an automatic fit",
    "em._student": "mixtures of t distributions, without a package",
    "em._stepwise": "statistics of blocks and of streams",
    "gaussian._algebra": "inner products of all pairs, which divergences average",
    "gaussian._checks": "samples and indices in one form, as a mixture takes them",
    "gaussian._covariance": "the registry, without the value",
    "gaussian._covariance_type": "the contract of hot loops, which EM runs",
    "gaussian._dense": "layouts of symmetric matrices, once",
    "gaussian._density": "densities of rows, once",
    "gaussian._grams": "the masses of samples that costs share out",
    "gaussian._heads": "outputs of networks as mixtures, for modules and stacks",
    "gaussian._mixture": "the value, without its package",
    "gaussian._pairs": "kernels of all pairs: costs, metrics and particles sum them",
    "gaussian._passes": "sufficient statistics, block by block",
    "gaussian._products": "products tile by tile, whose gradients costs write",
    "metrics._scorers": "how a display asks for a mixture",
    "metrics._scores": "scores that estimators and displays tell, without sampling",
    "mixture._base": "predict methods of one mixture, for a stack that is one",
    "mixture._gaussian_mixture": "settings of a member of the stack",
    "mixture._settled": "what is said of an EM that has not converged",
    "mixture._refinement": "what is read of a mixture that is a parameter",
    "modules._generators": "the base class of modules, and one perceptron",
    "modules._network": "the network that a source trains, without its package",
    "modules._prototypes": "prototypes of embeddings, without their package",
    "neural_gas._nodes": "labels and mixture of the nodes",
    "neural_gas._refine": "refinement of the nodes",
    "neural_gas._state": "the gas as a value, and its steps",
    "particles._bank": "the memory bank as a value, and its steps",
    "particles._resampling": "resampling by name",
}
# Base classes that others extend: their docstrings are the contract.
CONTRACTS = {
    "skgmje.gaussian._covariance_type.CovarianceType",
    "skgmje.gaussian._covariance_type.Kernel",
}
# Tests of laws that no public name reaches, one file for each subject. They need a
# comment above the import that says why.
MAX_PRIVATE_TESTS = 15


def load_measures():
    path = ROOT / "benchmarks" / "architecture.py"
    spec = importlib.util.spec_from_file_location("architecture", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def library():
    """The files of the library, parsed, and who imports whom."""
    return load_measures().Library(ROOT)


@pytest.fixture(scope="module")
def public(library):
    """What stands in an ``__all__``."""
    packages = [name for name in library.modules if "._" not in name]
    modules = [*map(importlib.import_module, packages)]
    return {
        getattr(module, name)
        for module in modules
        for name in getattr(module, "__all__", ())
        if inspect.isclass(getattr(module, name))
        or inspect.isfunction(getattr(module, name))
    }


def test_documents_show_all_levels_of_the_contract():
    contract = ConfigParser()
    contract.read(ROOT / "setup.cfg")
    layers = contract["importlinter:contract:layers"]["layers"].strip().split("\n")
    levels = [re.findall(r"\w+", layer) for layer in layers]
    text = (ROOT / "doc" / "extending.rst").read_text().split("The levels\n===")[1]
    told = re.split(r"^\d\. ", text.split("\n\nA folder")[0], flags=re.MULTILINE)[1:]
    told = [sorted(re.findall(r"``(\w+)``", level)) for level in told]
    assert told == [*map(sorted, reversed(levels))]
    picture = (ROOT / "CONTRIBUTING.md").read_text().split("```text")[1].split("```")[0]
    subjects = {name for level in levels for name in level if name[0] != "_"}
    assert subjects <= {*re.findall(r"\w+", picture)}


def test_import_contract_is_kept():
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", code, "--no-logo", "--no-cache"]
    answer = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_folder_is_a_package(library):
    folders = {path.parent for path in library.paths}
    assert all((folder / "__init__.py").exists() for folder in folders)


def test_files_are_no_longer_than_a_thought(library):
    lengths = {m: library.sources[p].count("\n") for m, p in library.modules.items()}
    assert {m: n for m, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_no_files_import_each_other(library):
    assert library.cycles() == []


def test_a_mixin_has_several_users(library):
    assert library.lonely_mixins() == []


def test_names_of_modules_are_unique(library):
    places = defaultdict(list)
    for module, path in library.modules.items():
        if path.stem not in ("__init__", "_base"):
            places[path.stem].append(module)
    assert {name: p for name, p in places.items() if len(p) > 1} == {}


def test_a_file_has_one_larger_public_class(public):
    larger = defaultdict(list)
    for value in public:
        if inspect.isclass(value):
            methods = [
                key
                for key, member in vars(value).items()
                if not key.startswith("_")
                and (callable(member) or isinstance(member, property))
            ]
            if len(methods) > MANY_METHODS:
                larger[value.__module__].append(value.__name__)
    assert {m: names for m, names in larger.items() if len(names) > 1} == {}


def of_others(library):
    """Return {private module: importers} across subjects."""
    found = defaultdict(set)
    for module, targets in library.imports.items():
        for target in targets & {*library.modules}:
            _, *subject = target.split(".")
            if len(subject) < 2 or subject[0] in EVERYBODYS:
                continue
            # The module itself, not its package.
            if subject[-1].startswith("_") and module.split(".")[1:2] != subject[:1]:
                found[".".join(subject)].add(module)
    return found


def test_private_files_of_other_subjects_are_left_alone(library):
    assert {m: u for m, u in of_others(library).items() if m not in SHARED} == {}


def test_the_list_of_shared_files_names_no_more_than_needed(library):
    assert {*SHARED} - {*of_others(library)} == set()


def unlisted_functions(tree, module, public):
    """Yield the functions that no page of the reference shows, by their names."""
    waiting = [(node, module, True) for node in tree.body]
    while waiting:
        node, place, shown = waiting.pop()
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        name = f"{place}.{node.name}"
        if isinstance(node, ast.ClassDef):
            shown = shown and name in public
            waiting += [(part, name, shown) for part in node.body]
        elif node.name.startswith("_") or not (
            shown if place != module else name in public
        ):
            yield name, node


def test_docstrings_of_private_functions_have_one_line(library, public):
    # A page of a class shows the methods of its base classes.
    shown = public.union(*(v.__mro__ for v in public if inspect.isclass(v)))
    listed = {f"{value.__module__}.{value.__qualname__}" for value in shown}
    long = [
        name
        for module, path in library.modules.items()
        for name, node in unlisted_functions(
            library.trees[path], module, listed | CONTRACTS
        )
        if "\n" in (ast.get_docstring(node) or "")
    ]
    assert long == []


def private_imports(path):
    """Return the lines of the imports of private modules of the library."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("skgmje"):
            names = [f".{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [f".{n.name}" for n in node.names if n.name.startswith("skgmje")]
        else:
            continue
        if any("._" in name.removeprefix(".skgmje") for name in names):
            yield node.lineno


def test_few_tests_look_inside():
    lines = {p: sorted(private_imports(p)) for p in (ROOT / "tests").rglob("*.py")}
    lines = {path: found for path, found in lines.items() if found}
    assert len(lines) <= MAX_PRIVATE_TESTS, sorted(p.stem for p in lines)
    silent = [
        path.stem
        for path, (first, *_) in lines.items()
        if not path.read_text().splitlines()[first - 2].startswith("# Inside: ")
    ]
    assert silent == []
