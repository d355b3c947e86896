"""Where figures were measured, and how they get into the README."""

import datetime
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("scikit-learn", "numpy", "scipy", "torch", "skorch")


def provenance():
    """Return date, machine and versions of this run."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def caption(origin):
    """Return one line that says where the figures of `origin` come from."""
    versions = ", ".join(f"{k} {v}" for k, v in origin["versions"].items())
    where = f"{origin['machine']}, Python {origin['python']}"
    return f"*{origin['date']}, {where}, {versions}.*"


def markdown(header, rows):
    """Return a Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, *rows)]
    lines.insert(1, "|" + " --- |" * len(header))
    return "\n".join(lines)


def publish(script, name, payload, table, *, excerpt=None, folder=None):
    """Write the figures to `results`, beside the script, and a table into the README.

    With a `folder` they are written there, and nothing into the README.

    The README has a pair of comments, ``<!-- name -->`` and ``<!-- /name -->``,
    around each table; without them only the results are written. It gets the
    `excerpt` if there is one.
    """
    results = Path(folder or Path(script).parent / "results")
    results.mkdir(parents=True, exist_ok=True)
    origin = provenance()
    payload = {"provenance": origin, **payload}
    (results / f"{name}.json").write_text(json.dumps(payload, indent=1) + "\n")
    where = caption(origin)
    (results / f"{name}.md").write_text(f"{table}\n\n{where}\n")
    if folder is None:
        insert(name, f"{excerpt or table}\n\n{where}")


def insert(name, text):
    """Put `text` between the comments `name` of the README."""
    readme = ROOT / "README.md"
    before, mark, rest = readme.read_text().partition(f"<!-- {name} -->\n")
    if mark:
        _, end, after = rest.partition(f"<!-- /{name} -->")
        readme.write_text(f"{before}{mark}\n{text}\n\n{end}{after}")
