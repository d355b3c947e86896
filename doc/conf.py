"""Settings of the documentation; `make doc` builds it."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
# The extension beside this file, and the helpers that examples import.
sys.path[:0] = [str(HERE), str(HERE.parent / "examples")]
os.environ.setdefault("MPLBACKEND", "Agg")

from _reference import OUTSIDE_NAMES, own_methods, own_properties  # noqa: E402

import skgmje  # noqa: E402

project = "skgmje"
author = "The skgmje developers"
copyright = f"2026, {author}"
version = release = skgmje.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "sphinx.ext.mathjax",
    # Formulas need no network, neither to build nor to read.
    "sphinx-mathjax-offline",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "_gallery",
    "_reference",
    "_results",
]
exclude_patterns = ["_build", "auto_examples/*.ipynb", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
default_role = "literal"
extlinks = {"arxiv": ("https://arxiv.org/abs/%s", "arXiv:%s")}
extlinks_detect_hardcoded_links = False
suppress_warnings = ["config.cache"]

# Every name in a cross reference must lead somewhere; those of other libraries are
# turned into plain links by _reference.
nitpicky = True
nitpick_ignore_regex = OUTSIDE_NAMES

autosummary_generate = True
autosummary_context = {
    "own_methods": own_methods,
    "own_properties": own_properties,
    "top_level": skgmje.__all__,
}
autodoc_typehints = "none"
numpydoc_show_class_members = False
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
linkcheck_timeout = 20
linkcheck_anchors = False

html_theme = "pydata_sphinx_theme"
html_title = "skgmje"
html_static_path = ["_static"]
html_css_files = ["skgmje.css"]
html_show_sourcelink = False
# Pages that have no neighbours in a section.
ALONE = ("index", "choose", "coming_from", "faq", "claims", "limits", "extending")
html_sidebars = {page: [] for page in ALONE}
html_theme_options = {
    "show_prev_next": False,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 5,
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skgmje",),
    "reference_url": {"skgmje": None},
    "filename_pattern": "/plot_",
    "ignore_pattern": r"(^|/)(?!plot_)\w+\.py$",
    "within_subsection_order": "FileNameSortKey",
    "minigallery_sort_order": "_gallery.by_subject",
    "image_scrapers": ("_gallery.scrape",),
    "thumbnail_size": (560, 400),
    "download_all_examples": False,
    "remove_config_comments": True,
    "reset_modules": ("matplotlib", "_gallery.name_file"),
    "show_memory": False,
    "write_computation_times": False,
    "show_signature": False,
    "matplotlib_animations": False,
    # scikit-learn's pictures of estimators use colours that the theme inverts.
    "capture_repr": ("__repr__",),
    # Two examples at a time; a failure of one ends the build.
    "parallel": 2,
    "plot_gallery": "True",
}
