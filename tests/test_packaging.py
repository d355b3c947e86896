"""What the wheel holds, and what it says of itself."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import metadata
from importlib.resources import files
from pathlib import Path
from zipfile import ZipFile

import pytest

import skgmje

ROOT = Path(__file__).parents[1]


def test_package_says_that_it_is_typed_and_which_python_it_needs():
    assert (files("skgmje") / "py.typed").is_file()
    said = metadata("skgmje")
    assert said["Requires-Python"] == ">=3.10"
    assert "Programming Language :: Python :: 3.10" in said.get_all("Classifier")


def test_classifiers_name_the_pythons_that_workflows_test():
    said = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    (tested,) = re.findall(r"python: \[(.*)\]", workflow)
    assert said == re.findall(r"3\.\d+", tested)


def project_urls():
    """Return the addresses in pyproject.toml, where alone they are decided."""
    table = (ROOT / "pyproject.toml").read_text().split("[project.urls]")[1]
    return dict(re.findall(r'^(\w+) = "(.*)"', table.split("\n[")[0], re.MULTILINE))


def test_links_of_readme_are_absolute_and_lead_to_files_of_ours():
    urls = project_urls()
    links = re.findall(r"\]\(([^)]*)\)", (ROOT / "README.md").read_text())
    assert links
    for link in links:
        if link.startswith(urls["Documentation"]):
            page = link.removeprefix(urls["Documentation"]).partition("#")[0]
            page = (ROOT / f"doc{page}").with_suffix(".rst")
            assert page.exists() or "auto_examples" in page.parts, link
        elif link.startswith(urls["Source"]):
            assert (ROOT / link.removeprefix(f"{urls['Source']}/")).exists(), link
        else:
            assert link.startswith("https://arxiv.org/"), link


def test_addresses_that_documents_name_are_there():
    text = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"`(\w+)` under `\[project.urls\]`", text)
    assert named
    assert {*named} <= {*project_urls()}


def test_links_of_estimators_lead_to_the_documentation():
    link = skgmje.GaussianMixture._doc_link_template
    assert link.startswith(f"{project_urls()['Documentation']}/generated/")


def test_citation_has_the_version_and_the_addresses_of_the_project():
    lines = (ROOT / "CITATION.cff").read_text().splitlines()
    said = dict(line.split(": ", 1) for line in lines if re.match(r"[\w-]+: ", line))
    assert said["version"] == skgmje.__version__
    assert said["url"] == project_urls()["Documentation"]
    assert said["repository-code"] == project_urls()["Source"]


def test_citation_of_a_release_has_its_date_and_the_changelog_its_heading():
    is_release = "dev" not in skgmje.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert (f"\n## [{skgmje.__version__}]" in changes) == is_release
    assert ("\ndate-released: " in (ROOT / "CITATION.cff").read_text()) == is_release


def test_workflows_and_hooks_call_the_targets_of_make():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    names = [".ci/run", ".pre-commit-config.yaml", ".readthedocs.yaml"]
    workflows = [*(ROOT / ".github" / "workflows").glob("*.yml")]
    for path in [*workflows, *(ROOT / name for name in names)]:
        text = path.read_text()
        called = re.findall(r"\bmake (?:-j \d )?([\w-]+)", text)
        called += re.findall(r"[\w-]+", "".join(re.findall(r"target: \[(.*)\]", text)))
        assert called, path
        assert {*called} <= {*targets}, path


@pytest.mark.slow
def test_wheel_holds_all_of_the_package_and_nothing_else(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "skgmje", source / "skgmje")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path]
    subprocess.run([*command, source], check=True)
    (wheel,) = tmp_path.glob("skgmje-*.whl")
    held = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT) for path in (ROOT / "skgmje").rglob("*.py")}
    assert held == {path.as_posix() for path in modules} | {"skgmje/py.typed"}
