"""A full disk, a torn file, no folder: the old file is there and loads."""

import os

import pytest

FULL = """
import resource
import skgmje
path = sys.argv[1]
old = skgmje.GaussianMixture(2, random_state=0).fit(X)
old.save(path)
new = skgmje.GaussianMixture(40, random_state=0).fit(X)
new.save(path + ".new")
size = os.path.getsize(path + ".new")
os.unlink(path + ".new")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
for share in map(float, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * size), unlimited))
    try:
        new.save(path)
        print("saved", end=" ")
    except OSError as error:
        print(type(error).__name__, error.errno, end=" ")
    loaded = skgmje.load(path)
    same = sha(loaded.score_samples(X)) == sha(old.score_samples(X))
    print(same, os.listdir(os.path.dirname(path)))
"""


@pytest.mark.skipif(os.name != "posix", reason="no limits on the size of files")
def test_a_full_disk_leaves_the_old_file(tmp_path, answer_of, record):
    import errno

    said = answer_of(FULL, tmp_path / "m.safetensors", 0.0, 0.5, 0.99).splitlines()
    survived = said.count(f"OSError {errno.EFBIG} True ['m.safetensors']")
    record("disk full while saving", 3, survived, survived == 3)
    assert len(said) == survived == 3


FULL_CHECKPOINT = """
import resource
from skgmje import KernelMixtureDensity
folder = sys.argv[1]
shared = dict(max_iter=20, tol=0, random_state=0)
expected = KernelMixtureDensity(6, **shared).fit(X).means_
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, unlimited[1]))
try:
    KernelMixtureDensity(6, trainer={"checkpoint_dir": folder}, **shared).fit(X)
except OSError as error:
    print(type(error).__name__, end=" ")
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
again = KernelMixtureDensity(6, trainer={"checkpoint_dir": folder}, **shared).fit(X)
print((again.means_ == expected).all(), os.listdir(folder))
"""


@pytest.mark.skipif(os.name != "posix", reason="no limits on the size of files")
def test_a_full_disk_while_a_state_is_written(tmp_path, answer_of, record):
    said = answer_of(FULL_CHECKPOINT, tmp_path)
    record("disk full while a state is written", 1, int(said == "OSError True []"))
    assert said == "OSError True []"


TORN = """
import skgmje
path = sys.argv[1]
skgmje.GaussianMixture(2, random_state=0).fit(X).save(path)
data = open(path, "rb").read()
for share in (0.0, 0.001, 0.1, 0.5, 0.9, 0.999):
    with open(path, "wb") as file:
        file.write(data[: int(share * len(data))])
    try:
        skgmje.load(path)
        print("loaded")
    except ValueError:
        print("refused")
"""


def test_torn_files_are_refused(tmp_path, answer_here, record):
    said = answer_here(TORN, tmp_path / "model").split()
    record("torn file", 6, said.count("refused"))
    assert said == ["refused"] * 6


NO_FOLDER = """
import skgmje
fitted = skgmje.GaussianMixture(random_state=0).fit(X)
open(sys.argv[1] + "/file", "w").close()
os.mkdir(sys.argv[1] + "/folder")
for path in ("/missing/model", "/file/model", "/folder"):
    try:
        fitted.save(sys.argv[1] + path)
        print("saved")
    except OSError as error:
        print("refused")
print(sorted(os.listdir(sys.argv[1])))
"""


def test_places_that_take_no_file(tmp_path, answer_here, record):
    said = answer_here(NO_FOLDER, tmp_path).splitlines()
    record("no such folder", 3, said.count("refused"))
    assert said == ["refused"] * 3 + ["['file', 'folder']"]
