"""What Sphinx does not know: names of other libraries, and our registries.

An extension of Sphinx, for this documentation alone.
"""

import importlib
import inspect
import re
from collections.abc import Mapping
from functools import cached_property

import skgmje

# Where the pages of other libraries are. No inventory of theirs is downloaded, so
# that the build needs no network.
_PAGES = {
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{}.html",
    "numpy": "https://numpy.org/doc/stable/reference/generated/{}.html",
    "scipy": "https://docs.scipy.org/doc/scipy/reference/generated/{}.html",
    "torch": "https://docs.pytorch.org/docs/stable/generated/{}.html",
    "skorch": "https://skorch.readthedocs.io/en/stable/net.html",
    "matplotlib": "https://matplotlib.org/stable/api/index.html",
    "pandas": "https://pandas.pydata.org/docs/reference/api/{}.html",
    "joblib": "https://joblib.readthedocs.io/en/stable/generated/{}.html",
    "networkx": "https://networkx.org/documentation/stable/reference/index.html",
}
_GLOSSARY = "https://scikit-learn.org/stable/glossary.html#term-{}"
# Words that numpydoc reads as names of classes.
OUTSIDE_NAMES = []


def _load(fullname):
    """Return the object of a dotted name."""
    module, name = fullname.rsplit(".", 1)
    return getattr(importlib.import_module(module), name)


def _is_ours(member):
    return getattr(member, "__module__", "").startswith("skgmje.")


def _function_of(member):
    if isinstance(member, property):
        return member.fget
    if isinstance(member, cached_property):
        return member.func
    return getattr(member, "__func__", member)


def _own_members(fullname):
    """Yield name and raw member of the public ones that were written here."""
    cls = _load(fullname)
    for name in sorted(dir(cls)):
        member = inspect.getattr_static(cls, name)
        documented = inspect.getdoc(_function_of(member))
        if not name.startswith("_") and _is_ours(_function_of(member)) and documented:
            yield name, member


def own_methods(fullname):
    """List the methods of a class that are not scikit-learn's or torch's."""
    return [n for n, m in _own_members(fullname) if not _is_property(m)]


def own_properties(fullname):
    """List the properties of a class that are not scikit-learn's or torch's."""
    return [n for n, m in _own_members(fullname) if _is_property(m)]


def _is_property(member):
    return isinstance(member, property | cached_property)


def tidy_types(app, what, name, obj, options, lines):
    """Join types that a raw docstring breaks, and escape what would be a link."""
    text = "\n".join(lines)
    text = re.sub(r" *\\\n\s*", " ", text)
    lines[:] = [
        re.sub(r"(\*|_(?=\W))", r"\\\1", line)
        if re.match(r"[\w, ]+ : ", line)
        else line
        for line in text.split("\n")
    ]


def describe_registry(app, what, name, obj, options, lines):
    """Say what a registry or an object is; their own docstrings are their class's."""
    if what == "data" and isinstance(obj, Mapping):
        entries = [f"``{key!r}``: {_link(value)}" for key, value in obj.items()]
        text = "Registry, a dict: " + ", ".join(entries) + "."
        lines[:] = [text.replace("'", '"')]
    elif what == "data":
        lines[:] = _comment_above(name, type(obj).__module__) or lines


def _comment_above(fullname, module):
    """Return the lines of the comment ``#:`` above a name, where it is defined."""
    from sphinx.pycode import ModuleAnalyzer

    comments = ModuleAnalyzer.for_module(module).find_attr_docs()
    return comments.get(("", fullname.rsplit(".", 1)[1]))


def _link(value):
    name = getattr(value, "__name__", type(value).__name__)
    return f":obj:`{name}`" if _is_public(value) else f"``{name}``"


def _is_public(value):
    package = ".".join(getattr(value, "__module__", "").split(".")[:2])
    names = getattr(importlib.import_module(package), "__all__", []) if package else []
    return getattr(value, "__name__", None) in names


def link_outside(app, env, node, contnode):
    """Link what is public under two names, or is another library's."""
    from docutils import nodes

    target = node.get("reftarget", "")
    if node.get("reftype") == "term":
        return nodes.reference(
            "", "", contnode, internal=False, refuri=_GLOSSARY.format(target)
        )
    if node.get("reftype") == "attr" and target.endswith("_"):
        # Described in the table of its class, where Sphinx makes no target.
        return contnode
    if target in skgmje.__all__:
        target = f"skgmje.{target}"
    root, _, name = target.partition(".")
    if root == "skgmje" and name.split(".")[0] in skgmje.__all__:
        home = f"{skgmje._HOME[name.split('.')[0]]}.{name}"
        return env.domains["py"].resolve_xref(
            env, node["refdoc"], app.builder, node["reftype"], home, node, contnode
        )
    if root in _PAGES and name:
        uri = _PAGES[root].format(target)
        return nodes.reference("", "", contnode, internal=False, refuri=uri)
    return None


def keep_initials(text):
    """Escape an initial at the head of a reference, which would begin a list "C."."""
    return re.sub(r"(?m)^(\s*\.\. \[\w+(?:-\w+)?\] )(?=[A-Z]\. )", r"\1\\", text)


def keep_initials_of_page(app, docname, source):
    """Do so in a page."""
    source[0] = keep_initials(source[0])


def keep_initials_of_docstring(app, what, name, obj, options, lines):
    """Do so in a docstring."""
    lines[:] = keep_initials("\n".join(lines)).split("\n")


def setup(app):
    """Register all of it."""
    # Before numpydoc, which reads the lines at priority 500.
    app.connect("autodoc-process-docstring", tidy_types, priority=100)
    app.connect("autodoc-process-docstring", describe_registry, priority=100)
    # After numpydoc, which names the references.
    app.connect("autodoc-process-docstring", keep_initials_of_docstring, priority=900)
    app.connect("source-read", keep_initials_of_page)
    app.connect("missing-reference", link_outside)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
