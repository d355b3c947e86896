"""kill -9 at any moment of a fit; the same fit goes on to the same bits."""

import os
import signal

FITS = """
from pathlib import Path
from skgmje import *
from skgmje.conditional import MixtureNetwork
from skgmje.embedding import MLP
from skgmje._persistence import Checkpoint
from skgmje.mixture import Codes
SMALL = dict(max_iter=60, hidden_layer_sizes=(8,))
FITS = {
    "network of centres": lambda trainer: KernelMixtureDensity(
        6,
        generator=Codes(hidden_layer_sizes=(8,)),
        max_iter=60,
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
        max_iter=60,
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

for folder in map(Path, sys.argv[1:]):
    process = os.fork()
    if not process:
        try:
            arm(folder.name)
            fit(folder)
        finally:
            os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""

END = """
for folder in map(Path, sys.argv[1:]):
    fitted = fit(folder)
    answer = "transform" if folder.parent.name == "embedder" else "predict"
    score = "score_samples" if hasattr(fitted, "score_samples") else "predict"
    curve = getattr(fitted, "loss_curve_", [])
    print(sha(getattr(fitted, answer)(X), getattr(fitted, score)(X), curve))
"""

MOMENTS = ("before the first state", "in the middle", "while a state is written")
# All share the writing of states, so that one stands for all at every moment.
MOMENTS_OF = {
    "network of centres": MOMENTS,
    "conditional network": MOMENTS[1:2],
    "embedder": MOMENTS[1:2],
}


def test_killed_fits_go_on_to_the_same_bits(tmp_path, answer_of, record):
    calm = [tmp_path / name / "undisturbed" for name in MOMENTS_OF]
    answers = answer_of(FITS + END, *calm).split()
    undisturbed = dict(zip(MOMENTS_OF, answers, strict=True))
    assert [os.listdir(folder) for folder in calm] == [[]] * 3
    killed = [tmp_path / name / m for name, ms in MOMENTS_OF.items() for m in ms]
    # The fault did happen, and left what it should leave.
    statuses = answer_of(FITS + KILLS, *killed).split()
    assert statuses == [str(-signal.SIGKILL)] * len(killed)
    for folder in killed:
        states = [f for f in os.listdir(folder) if f.endswith(".checkpoint")]
        parts = [f for f in os.listdir(folder) if f.endswith(".part")]
        assert bool(states) == (folder.name != MOMENTS[0])
        assert bool(parts) == (folder.name == MOMENTS[2])
    again = answer_of(FITS + END, *killed).split()
    assert [os.listdir(folder) for folder in killed] == [[]] * len(killed)
    for name, moments in MOMENTS_OF.items():
        same = [again.pop(0) == undisturbed[name] for _ in moments]
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
shared = dict(max_iter=60, tol=0, random_state=0, trainer=trainer)
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
