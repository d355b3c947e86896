"""kill -9 at any moment of a fit; the same fit goes on to the same bits."""

import os
import signal

import pytest

FITS = """
from skgmje import *
from skgmje.conditional import MixtureNetwork
from skgmje.embedding import MLP
from skgmje._persistence import Checkpoint, _checkpoint, _container
from skgmje.mixture import Codes
folder, moment = sys.argv[2], sys.argv[3]
FITS = {
    "network of centres": lambda: KernelMixtureDensity(
        6,
        generator=Codes(hidden_layer_sizes=(8,)),
        batch_size=64,
        tol=0,
        random_state=0,
        trainer={"checkpoint_dir": folder},
    ).fit(X),
    "conditional network": lambda: ConditionalMixtureDensity(
        MixtureNetwork(
            n_members=2,
            max_iter=200,
            hidden_layer_sizes=(8,),
            trainer={"checkpoint_dir": folder},
        ),
        random_state=0,
    ).fit(X, Y),
    "embedder": lambda: GJEEmbedder(
        2,
        encoder=MLP((8,)),
        batch_size=64,
        max_iter=150,
        trainer={"checkpoint_dir": folder},
        random_state=0,
    ).fit(X),
}
"""

# When the process kills itself: counted, not timed.
KILLS = """
def kill():
    os.kill(os.getpid(), signal.SIGKILL)

if moment == "before the first state":
    Checkpoint.write = lambda self, state: kill()
if moment == "in the middle":
    write, n_written = Checkpoint.write, 0
    def count(self, state):
        global n_written
        n_written += 1
        write(self, state)
        n_written == 4 and kill()
    Checkpoint.write = count
if moment == "while a state is written":
    replace, n_replaced = os.replace, 0
    def torn(source, target):
        global n_replaced
        n_replaced += 1
        if n_replaced == 4:
            with open(source, "r+b") as file:
                file.truncate(os.path.getsize(source) // 2)
            kill()
        replace(source, target)
    os.replace = torn
"""

END = """
fitted = FITS[sys.argv[1]]()
answer = "transform" if sys.argv[1] == "embedder" else "predict"
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


@pytest.mark.parametrize("name", MOMENTS_OF)
def test_killed_fit_goes_on_to_the_same_bits(name, tmp_path, run_child, record):
    undisturbed = run_child(FITS + END, name, tmp_path / "undisturbed", "never")
    assert undisturbed.returncode == 0, undisturbed.stderr
    assert os.listdir(tmp_path / "undisturbed") == []
    same = []
    for moment in MOMENTS_OF[name]:
        folder = tmp_path / moment
        killed = run_child(FITS + KILLS + END, name, folder, moment)
        # The fault did happen, and left what it should leave.
        assert killed.returncode == -signal.SIGKILL
        states = [f for f in os.listdir(folder) if f.endswith(".checkpoint")]
        parts = [f for f in os.listdir(folder) if f.endswith(".part")]
        assert bool(states) == (moment != MOMENTS[0])
        assert bool(parts) == (moment == MOMENTS[2])
        again = run_child(FITS + END, name, folder, "never")
        assert again.returncode == 0, again.stderr
        assert os.listdir(folder) == []
        same.append(again.stdout == undisturbed.stdout)
    record(f"kill -9, {name}", len(same), sum(same), all(same))
    assert all(same)


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
