"""Faults done to the library, and what it survived: runs ``tests/faults``.

Run ``python -m benchmarks.library.faults`` (five minutes on two quiet cores);
arguments go to pytest. The table stands between the comments ``<!-- faults -->`` of
the README.
"""

import json
import os
import subprocess
import sys

from benchmarks.shared.report import ROOT, markdown, publish

RECORDS = ROOT / "benchmarks" / "out" / "faults.json"


def run(arguments):
    """Run the suite; return its exit code."""
    RECORDS.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-m", "slow", "tests/faults"]
    env = {**os.environ, "SKGMJE_FAULTS": str(RECORDS), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *arguments], cwd=ROOT, env=env, check=False)


def add_up(lines):
    """Return ``{fault: [tried, survived, same bits]}`` of records, one a line."""
    table = {}
    for line in lines:
        found = json.loads(line)
        # All relations are one row: they differ in name only.
        fault = found["fault"].partition(":")[0]
        row = table.setdefault(fault, [0, 0, None])
        row[0] += found["tried"]
        row[1] += found["survived"]
        if found["same_bits"] is not None:
            row[2] = found["same_bits"] and row[2] is not False
    return table


def main(arguments):
    """Run, add up, publish."""
    code = run(arguments).returncode
    table = add_up(RECORDS.read_text().splitlines())
    words = {None: "", True: "yes", False: "no"}
    rows = [
        (fault, tried, survived, words[same])
        for fault, (tried, survived, same) in sorted(table.items())
    ]
    tried, survived = (sum(row[i] for row in rows) for i in (1, 2))
    rows.append(("**all**", tried, survived, ""))
    header = ("fault", "tried", "survived", "same bits as without it")
    text = markdown(header, rows)
    publish(__file__, "faults", {"faults": table}, text, excerpt=_side_by_side(rows))
    print(text)
    return code


def _side_by_side(rows, width=9):
    """Return the table of the README: several faults in a line."""
    cells = [f"{fault}: {survived} of {tried}" for fault, tried, survived, _ in rows]
    cells += [""] * (-len(cells) % width)
    lines = [cells[i : i + width] for i in range(0, len(cells), width)]
    return markdown(["survived", *[""] * (width - 1)], lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
