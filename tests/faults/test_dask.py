"""Dask's workers and its scheduler killed: the fit ends, with the same bits."""

# Rows are made where they are needed, so that a killed worker's can be made again.
ROWS = """
import dask, dask.array as da
from dask.distributed import Client, LocalCluster
from skgmje import GaussianMixture

def make(block, folder, deaths):
    # The worker that makes this block so often dies of it, once.
    number = int(block[0, 0])
    tag = os.path.join(folder, f"made-{number}-{os.getpid()}-{os.urandom(4).hex()}")
    open(tag, "w").close()
    n_made = sum(name.startswith(f"made-{number}-") for name in os.listdir(folder))
    note = os.path.join(folder, f"killed-{number}-{n_made}")
    if f"{number}-{n_made}" in deaths and not os.path.exists(note):
        open(note, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    rng = np.random.default_rng(number)
    return rng.normal(size=(5000, 4)) + 3 * rng.integers(0, 3, (5000, 1))

def rows(folder, deaths=()):
    os.makedirs(folder)
    numbers = da.from_array(np.repeat(np.arange(8.0), 5000)[:, None], chunks=(5000, 1))
    wide = numbers.rechunk({1: -1})
    return wide.map_blocks(make, folder, deaths, dtype=float, chunks=(5000, 4))

def cluster(n_workers):
    return LocalCluster(
        n_workers=n_workers, threads_per_worker=1, processes=True, host="127.0.0.1",
        scheduler_port=0, dashboard_address="127.0.0.1:0", memory_limit="1GiB",
    )

def answer(X):
    mixture = GaussianMixture(3, max_iter=4, tol=0, random_state=0).fit(X)
    scores = mixture.score_samples(X).compute()
    return sha(mixture.means_, mixture.covariances_, scores)
"""

WORKERS = """
with dask.config.set(scheduler="synchronous"):
    print(answer(rows(sys.argv[1] + "/alone")))
# In the second iteration, and in scoring, which is the last to make the rows.
made = os.listdir(sys.argv[1] + "/alone")
deaths = ("3-4", f"5-{sum(name.startswith('made-5') for name in made)}")
with cluster(2) as two, Client(two) as client:
    print(answer(rows(sys.argv[1] + "/killed", deaths)))
    client.wait_for_workers(2, timeout=60)  # the second death is just over
    print(len(client.scheduler_info()["workers"]))
"""


def test_killed_workers_cost_time_but_no_bit(tmp_path, answer_of, record):
    said = answer_of(ROWS + WORKERS, tmp_path, limit=120).split()
    alone, killed, n_workers = said[-3:]
    deaths = sorted(path.name for path in (tmp_path / "killed").glob("killed-*"))
    assert [name.split("-")[1] for name in deaths] == ["3", "5"]
    assert killed == alone
    assert n_workers == "2"
    record("a worker of Dask killed in fit and in scoring", 2, 2, same_bits=True)


SCHEDULER = """
import subprocess, time
from skgmje import load

def fit(X, name, saved=lambda: None):
    mixture = GaussianMixture(3, max_iter=2, tol=0, warm_start=True, random_state=0)
    for i in range(3):
        file = f"{sys.argv[1]}/{name}-{i}.safetensors"
        if os.path.exists(file):
            mixture = load(file)
            continue
        mixture.fit(X).save(file)
        saved()
    return sha(mixture.means_, mixture.lower_bounds_)

with dask.config.set(scheduler="synchronous"):
    print(fit(rows(sys.argv[1] + "/alone"), "one"))
known = sys.argv[1] + "/scheduler.json"
options = ["--no-dashboard", "--host", "127.0.0.1", "--scheduler-file", known]
started = [
    subprocess.Popen([sys.executable, "-m", "dask", role, *options, *more])
    for role, more in {
        "scheduler": ["--port", "0"],
        "worker": ["--nthreads", "1", "--no-nanny", "--death-timeout", "60"],
    }.items()
]
def kill():
    os.kill(started[0].pid, signal.SIGKILL)
    started[0].wait()

X = rows(sys.argv[1] + "/killed")
while not os.path.exists(known):
    time.sleep(0.1)
try:
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "8s"}),
        Client(scheduler_file=known, timeout=8) as client,
    ):
        client.wait_for_workers(1, timeout=60)
        print(fit(X, "two", kill))
except BaseException as error:
    print("lost", started[0].returncode)
for process in started:
    process.kill()
n_before = len(os.listdir(sys.argv[1] + "/killed"))
with dask.config.set(scheduler="synchronous"):
    print(fit(X, "two"))
n_after = len(os.listdir(sys.argv[1] + "/killed")) - n_before
print(n_after, len(os.listdir(sys.argv[1] + "/alone")))
"""


def test_a_dead_scheduler_costs_one_fit(tmp_path, answer_of, record):
    said = answer_of(ROWS + SCHEDULER, tmp_path, limit=120).split()
    alone, lost, code, again, n_after, n_alone = said[-6:]
    assert (lost, code) == ("lost", "-9")
    assert again == alone
    # Eight blocks: three fits that look once, sample once, and iterate twice. The
    # first of them was not repeated.
    assert int(n_alone) == 8 * 3 * 4
    assert int(n_after) == 8 * 2 * 4
    record("the scheduler of Dask killed", 1, 1, same_bits=True)


SEARCH = """
from sklearn.model_selection import ParameterGrid, cross_val_score

os.environ["CLIENT"] = str(os.getpid())

class Deadly(GaussianMixture):
    def fit(self, X, y=None, sample_weight=None):
        at_work = os.environ.get("CLIENT") != str(os.getpid())
        if at_work and self.n_components == 3 and not os.path.exists(self.note):
            open(self.note, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(X, y, sample_weight)

Deadly.note = sys.argv[1] + "/killed"
candidates = list(ParameterGrid({"n_components": [1, 2, 3, 4]}))

# As in the guide: a task for each candidate. joblib's Dask backend loses the search.
def held_out(params):
    return cross_val_score(Deadly(random_state=0, **params), X, cv=3)

print(sha(*map(held_out, candidates)))
with cluster(2) as two, Client(two) as client:
    print(sha(*client.gather(client.map(held_out, candidates))))
"""


def test_a_search_outlives_a_worker(tmp_path, answer_of, record):
    alone, killed = answer_of(ROWS + SEARCH, tmp_path, limit=120).split()[-2:]
    assert (tmp_path / "killed").exists()
    assert killed == alone
    record("a worker of Dask killed in a search", 1, 1, same_bits=True)
