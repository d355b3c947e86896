"""The directive ``results``: a table of a benchmark, as it was measured.

An extension of Sphinx, for this documentation alone. No figure is typed by hand::

    .. results:: quality
       :table: 0
       :columns: data | KernelMixtureDensity() | target
       :rows: moons | wine

shows one of the tables of ``benchmarks/*/results/quality.md``, with the date and the
machine below it.
"""

from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive, directives

ROOT = Path(__file__).parents[1]


def find(name):
    """Return the file of a benchmark's results."""
    found = [*ROOT.glob(f"benchmarks/*/results/{name}.md")]
    if len(found) != 1:
        raise FileNotFoundError(f"There are {len(found)} results {name!r}.")
    return found[0]


def read_tables(name):
    """Return the tables of a file, each a list of rows of cells, and its last line."""
    lines = find(name).read_text().splitlines()
    tables, inside = [], False
    for line in lines:
        is_row = line.startswith("|")
        if is_row and not inside:
            tables.append([])
        if is_row and not set(line) <= set("|- :"):
            cells = line.strip().strip("|").split("|")
            tables[-1].append([cell.strip() for cell in cells])
        inside = is_row
    return tables, lines[-1].strip("*")


def pick(table, columns, rows):
    """Return a table with some of its columns and rows; None: all."""
    head, *body = table
    for wanted, there in (columns, head), (rows, [row[0] for row in body]):
        missing = sorted(set(wanted or ()) - set(there))
        if missing:
            raise ValueError(f"There is no {missing} among {there}.")
    chosen = [head.index(name) for name in columns or head]
    # A row may end early; empty cells are not written.
    body = [[*row, *[""] * len(head)] for row in body if not rows or row[0] in rows]
    return [[row[j] for j in chosen] for row in [head, *body]]


def _words(text):
    return [word.strip() for word in text.split("|")]


class Results(Directive):
    """Show a table that was measured."""

    required_arguments = 1
    option_spec = {
        "table": directives.nonnegative_int,
        "columns": _words,
        "rows": _words,
    }

    def run(self):
        """Return the table and its source."""
        name = self.arguments[0]
        env = self.state.document.settings.env
        try:
            path = find(name)
            env.note_dependency(str(path))
            tables, source = read_tables(name)
            table = tables[self.options.get("table", 0)]
            cells = pick(table, self.options.get("columns"), self.options.get("rows"))
        except (OSError, IndexError, ValueError) as error:
            raise self.error(f"results {name}: {error}") from error
        caption = nodes.paragraph("", classes=["source"])
        caption += nodes.emphasis("", f"{path.relative_to(ROOT)}; {source}")
        return [_table_node(cells), caption]


def _table_node(cells):
    width = len(cells[0])
    table = nodes.table(classes=["wide", "figures"])
    group = nodes.tgroup(cols=width)
    table += group
    group += [nodes.colspec(colwidth=1) for _ in range(width)]
    for kind, rows in (nodes.thead, cells[:1]), (nodes.tbody, cells[1:]):
        part = kind()
        part += [_row_node(row) for row in rows]
        group += part
    return table


def _row_node(row):
    node = nodes.row()
    for cell in row:
        paragraph = nodes.paragraph()
        for i, part in enumerate(cell.split("**")):
            paragraph += nodes.strong("", part) if i % 2 else nodes.Text(part)
        node += nodes.entry("", paragraph)
    return node


def setup(app):
    """Register the directive."""
    app.add_directive("results", Results)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
