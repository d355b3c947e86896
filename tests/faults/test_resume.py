"""kill -9 at any moment of a fit; the same fit goes on to the same bits."""

import json
import signal

FITS = """
import json
from pathlib import Path
from skgmje import *
from skgmje.conditional import MixtureNetwork
from skgmje.embedding import MLP
from skgmje._persistence import Checkpoint
from skgmje.mixture import Codes
SMALL = dict(max_iter=20, hidden_layer_sizes=(8,))
FITS = {
    "network of centres": lambda trainer: KernelMixtureDensity(
        6,
        generator=Codes(hidden_layer_sizes=(8,)),
        max_iter=20,
        batch_size=64,
        tol=0,
        random_state=0,
        trainer=trainer,
    ).fit(X),
    "conditional network": lambda trainer: ConditionalMixtureDensity(
        MixtureNetwork(n_members=2, trainer=trainer, **SMALL), random_state=0
    ).fit(X, Y),
    "embedder": lambda trainer: GJEEmbedder(
        2,
        encoder=MLP((8,)),
        batch_size=64,
        max_iter=20,
        trainer=trainer,
        random_state=0,
    ).fit(X),
}

def fit(folder):
    return FITS[folder.parent.name](dict(checkpoint_dir=str(folder)))
"""

# When a process kills itself: counted, not timed. Each fit has a process of its own.
KILLS = """
def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def arm(moment):
    if moment == "before the first state":
        Checkpoint.write = lambda self, state: kill()
    if moment == "in the middle":
        write, n_written = Checkpoint.write, 0
        def count(self, state):
            nonlocal n_written
            n_written += 1
            write(self, state)
            n_written == 4 and kill()
        Checkpoint.write = count
    if moment == "while a state is written":
        replace, n_replaced = os.replace, 0
        def torn(source, target):
            nonlocal n_replaced
            n_replaced += 1
            if n_replaced == 4:
                with open(source, "r+b") as file:
                    file.truncate(os.path.getsize(source) // 2)
                kill()
            replace(source, target)
        os.replace = torn

def killed(folder):
    process = os.fork()
    if not process:
        try:
            arm(folder.name)
            fit(folder)
        finally:
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return status, sorted(os.listdir(folder))
"""

# This process has not been killed, and begins to train when all others have been.
END = """
def answer(folder):
    fitted = fit(folder)
    method = "transform" if folder.parent.name == "embedder" else "predict"
    score = "score_samples" if hasattr(fitted, "score_samples") else "predict"
    curve = getattr(fitted, "loss_curve_", [])
    found = sha(getattr(fitted, method)(X), getattr(fitted, score)(X), curve)
    return found, os.listdir(folder)

folders = [Path(folder) for folder in sys.argv[1:]]
print(json.dumps([killed(folder) for folder in folders if folder.name != "calm"]))
print(json.dumps([answer(folder) for folder in folders]))
"""

MOMENTS = ("before the first state", "in the middle", "while a state is written")
# All share the writing of states, so that one stands for all at every moment.
MOMENTS_OF = {
    "network of centres": MOMENTS,
    "conditional network": MOMENTS[1:2],
    "embedder": MOMENTS[1:2],
}


def test_killed_fits_go_on_to_the_same_bits(tmp_path, answer_of, record):
    folders = [
        tmp_path / name / moment
        for name, moments in MOMENTS_OF.items()
        for moment in ("calm", *moments)
    ]
    said = answer_of(FITS + KILLS + END, *folders).splitlines()
    killed, answers = map(json.loads, said)
    at = [folder.name for folder in folders if folder.name != "calm"]
    # The fault did happen, and left what it should leave.
    for moment, (status, left) in zip(at, killed, strict=True):
        assert status == -signal.SIGKILL
        ends = {name.rpartition(".")[2] for name in left}
        assert ("checkpoint" in ends) == (moment != MOMENTS[0])
        assert ("part" in ends) == (moment == MOMENTS[2])
    assert all(left == [] for _, left in answers)
    found = {f: told for f, (told, _) in zip(folders, answers, strict=True)}
    for name, moments in MOMENTS_OF.items():
        calm = found[tmp_path / name / "calm"]
        same = [found[tmp_path / name / moment] == calm for moment in moments]
        record(f"kill -9, {name}", len(same), sum(same), all(same))
        assert all(same), name


REFUSED = """
from skgmje import KernelMixtureDensity
from skgmje._persistence import Checkpoint
write = Checkpoint.write
def stop(self, state):
    write(self, state)
    raise RuntimeError("stop")
Checkpoint.write = stop
trainer = {"checkpoint_dir": sys.argv[1]}
shared = dict(max_iter=20, tol=0, random_state=0, trainer=trainer)
try:
    KernelMixtureDensity(3, **shared).fit(X)
except RuntimeError:
    pass
for make in (
    lambda: KernelMixtureDensity(4, **shared).fit(X),
    lambda: KernelMixtureDensity(3, **shared).fit(X + 1e-9),
    lambda: KernelMixtureDensity(3, **shared).fit(X, sample_weight=np.arange(300)),
):
    try:
        make()
    except ValueError as error:
        print("refused" if "another fit" in str(error) else error)
"""


def test_state_of_another_fit_is_refused(tmp_path, answer_of, record):
    said = answer_of(REFUSED, tmp_path).split()
    record("state of another fit", 3, said.count("refused"))
    assert said == ["refused"] * 3
