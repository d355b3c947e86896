"""The documentation hangs together, as far as that can be told without a build."""

import importlib
import importlib.util
import inspect
import pkgutil
import re
from itertools import chain
from pathlib import Path

import pytest

import skgmje
import skgmje.inspection
import skgmje.metrics
from skgmje.utils import all_estimators, all_functions

ROOT = Path(__file__).parents[1]
DOC = ROOT / "doc"
BUILT = ("_build", "auto_examples", "generated")
PAGES = [
    p for p in sorted(DOC.rglob("*.rst")) if p.relative_to(DOC).parts[0] not in BUILT
]
PAGES = [page for page in PAGES if "_templates" not in page.parts]
GUIDE = sorted((DOC / "guide").glob("*.rst"))
EXAMPLES = sorted((ROOT / "examples").glob("plot_*.py"))
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(DOC)))


def _load(name):
    spec = importlib.util.spec_from_file_location(f"doc_{name}", DOC / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pages_in_toctrees(page):
    """Yield the pages that the toctrees of a page name."""
    blocks = re.findall(
        r"^\.\. toctree::\n((?:   .*\n|\n)*)", page.read_text(), flags=re.MULTILINE
    )
    for entry in "".join(blocks).split("\n"):
        if entry.strip() and not entry.strip().startswith(":"):
            target = re.sub(r".*<(.*)>", r"\1", entry.strip())
            yield (page.parent / f"{target}.rst").resolve()


def test_every_page_is_in_a_toctree():
    listed = set(chain.from_iterable(map(_pages_in_toctrees, PAGES)))
    assert {*PAGES} - listed == {DOC / "index.rst"}
    assert listed - {*PAGES} == {DOC / "auto_examples" / "index.rst"}


@by_name
def test_examples_that_a_page_names_exist(page):
    text = page.read_text()
    named = set(re.findall(r"\b(plot_\w+?)(?:\.py|\.html|_\d{3}\.png)", text))
    assert named <= {path.stem for path in EXAMPLES}


@by_name
def test_pages_that_a_page_names_exist(page):
    targets = re.findall(r":doc:`(?:[^`<]*<)?([^`>]*)>?`", page.read_text())
    missing = [t for t in targets if not (page.parent / f"{t}.rst").resolve().exists()]
    assert missing == []


def _resolve(name):
    """Return what a dotted name stands for; a fitted attribute is its class."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            documented = f"{part} : " in (inspect.getdoc(value) or "")
            value = value if part.endswith("_") and documented else getattr(value, part)
        return value
    raise ModuleNotFoundError(name)


@by_name
def test_names_that_a_page_links_exist(page):
    roles = r":(?:class|func|meth|attr|data|mod|exc):`(?:[^`<]*<)?~?([\w.]+)>?`"
    for name in re.findall(roles, page.read_text()):
        if name.startswith("skgmje"):
            _resolve(name)


@by_name
def test_parameters_that_a_page_sets_exist(page):
    for literal in re.findall(r"``([^`]*)``", page.read_text()):
        for name, arguments in re.findall(r"\b(\w+)\(([^()]*)\)", literal):
            if name in skgmje.__all__:
                known = inspect.signature(getattr(skgmje, name)).parameters
                assert {*re.findall(r"(\w+)=", arguments)} <= {*known}, literal


def test_calls_that_the_choice_shows_exist():
    """Each line of code in doc/choose.rst calls what is public."""
    known = {
        name for listed in (all_estimators(), all_functions()) for name, _ in listed
    }
    known = {name.rpartition(".")[2] for name in {*known, *skgmje.__all__}}
    classes = [estimator for _, estimator in all_estimators()]
    classes += [getattr(skgmje.inspection, name) for name in skgmje.inspection.__all__]
    methods = {name for cls in [*classes, skgmje.Mixture] for name in dir(cls)}
    for literal in re.findall(r"``([^`]*)``", (DOC / "choose.rst").read_text()):
        for dot, name in re.findall(r"(\.?)\b(\w+)\(", literal):
            assert name in (methods if dot else known | {"PowerTransformer"}), literal


@pytest.mark.parametrize("peer", ["sklearn", "gmr", "ngboost", "lightly"])
def test_names_of_others_exist(peer):
    pytest.importorskip(peer, exc_type=ImportError)
    text = (DOC / "coming_from.rst").read_text()
    names = re.findall(rf"``({peer}(?:\.\w+)+)", text)
    assert len(names) > 3
    for name in names:
        _resolve(name)


@by_name
def test_measured_tables_exist(page):
    results = _load("_results")
    for name in re.findall(r"^\.\. results:: (\S+)", page.read_text(), re.MULTILINE):
        tables, source = results.read_tables(name)
        assert tables
        assert re.match(r"\d{4}-\d{2}-\d{2}", source)


@pytest.mark.parametrize("page", GUIDE, ids=lambda page: page.stem)
def test_guide_page_opens_with_a_formula_and_ends_in_the_gallery(page):
    if page.stem == "index":
        return
    text = page.read_text()
    formula, snippet = text.index(".. math::"), text.find(">>> ")
    assert formula < snippet
    assert text.rindex(".. minigallery::") > text.rindex("In the gallery\n====")


def test_table_is_cut_as_told():
    pick = _load("_results").pick
    table = [["a", "b"], ["1", "2"], ["3"]]
    assert pick(table, None, None) == [["a", "b"], ["1", "2"], ["3", ""]]
    assert pick(table, ["b"], ["1"]) == [["b"], ["2"]]
    with pytest.raises(ValueError, match="no \\['c'\\]"):
        pick(table, ["c"], None)


def test_members_are_ours(monkeypatch):
    reference = _load("_reference")
    methods = reference.own_methods("skgmje.mixture.GaussianMixture")
    assert {"fit", "score_samples", "condition"} <= {*methods}
    assert not {"get_params", "set_output", "_check_predict"} & {*methods}
    assert "mixture_" in reference.own_properties("skgmje.mixture.GaussianMixture")


def test_settings_can_be_read():
    pytest.importorskip("pydata_sphinx_theme")
    conf = _load("conf")
    assert conf.nitpicky
    assert conf.release


def test_every_example_has_a_title_and_a_claim():
    for path in EXAMPLES:
        head = path.read_text().split('"""')[1].strip().splitlines()
        assert len(head[0]) == len(head[2]) >= len(head[1]), path.name


def test_every_example_has_its_subject_in_the_gallery():
    assert sorted(_load("_gallery").ORDER) == [path.stem for path in EXAMPLES]


def test_registries_are_described():
    """A dict's own docstring would be Python's."""
    reference = _load("_reference")
    packages = [m.name for m in pkgutil.iter_modules(skgmje.__path__)]
    public = [
        importlib.import_module(f"skgmje.{name}") for name in packages if name[0] != "_"
    ]
    values = {f"{m.__name__}.{n}": getattr(m, n) for m in public for n in m.__all__}
    for name, value in values.items():
        if isinstance(value, dict):
            lines = ["dict() -> new empty dictionary"]
            reference.describe_registry(None, "data", name, value, None, lines)
            assert all(f'``"{key}"``' in lines[0] for key in value)


def test_comment_of_a_scorer_is_found():
    reference, lines = _load("_reference"), ["A metric of mixtures"]
    scorer = skgmje.metrics.crps_scorer
    reference.describe_registry(
        None, "data", "skgmje.metrics.crps_scorer", scorer, None, lines
    )
    assert lines[0].startswith("Minus the mean")
