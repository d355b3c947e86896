"""Files that were damaged or forged: no code runs, no process dies."""

# Events of Python's own audit that a loader never causes once it is imported.
CODE = """
import json, pickle
import safetensors.numpy
import skgmje
from skgmje._persistence._container import pack, unpack
from skgmje.conditional import MixtureNetwork

path, n_flips = sys.argv[1], int(sys.argv[2])
mixture = skgmje.GaussianMixture(3, random_state=0).fit(X)
network = skgmje.ConditionalMixtureDensity(
    MixtureNetwork(n_members=2, max_iter=5, hidden_layer_sizes=(4,)), random_state=0
).fit(X, Y)
stacked = skgmje.TransformedDensity(
    __import__("sklearn.preprocessing").preprocessing.PowerTransformer(), mixture
).fit(X)
models = {"score_samples": (mixture, stacked), "predict": (network,)}
DANGEROUS = (
    "exec", "compile", "import", "pickle.find_class", "os.system", "os.exec",
    "os.posix_spawn", "os.fork", "subprocess.Popen", "ctypes.dlopen", "socket.connect",
    "socket.bind", "shutil.rmtree", "os.remove", "os.rename", "marshal.loads",
)
watching, seen = False, []

def watch(event, args):
    if watching and event in DANGEROUS:
        seen.append((event, str(args)[:80]))

sys.addaudithook(watch)
rng = np.random.default_rng(0)
refused = equal = changed = crashed = 0

def attempt(data, ask, expected):
    global watching, refused, equal, changed, crashed
    with open(path, "wb") as file:
        file.write(data)
    watching = True
    try:
        loaded = skgmje.load(path)
    except ValueError:
        refused += 1
    except BaseException as error:
        crashed += 1
        print(repr(error), file=sys.stderr)
    else:
        same = (getattr(loaded, ask)(X) == expected).all()
        equal, changed = equal + same, changed + (not same)
    watching = False

jobs = [(ask, model) for ask, several in models.items() for model in several]
for ask, model in jobs:
    model.save(path)
    data = open(path, "rb").read()
    expected = getattr(skgmje.load(path), ask)(X)
    for i in range(-(-n_flips // len(jobs))):
        at = int(rng.integers(len(data)))
        bit = bytes([data[at] ^ (1 << int(rng.integers(8)))])
        cut = i % 10 == 0
        attempt(data[:at] if cut else data[:at] + bit + data[at + 1 :], ask, expected)
print(refused, equal, changed, crashed, json.dumps(seen))
"""


def test_two_thousand_flips_and_truncations(tmp_path, answer_of, record):
    import json

    said = answer_of(CODE, tmp_path / "model", 2000).split(maxsplit=4)
    refused, equal, changed, crashed = map(int, said[:4])
    tried = refused + equal + changed + crashed
    record("bit flipped or end cut off", tried, refused + equal, changed == 0)
    assert tried >= 2000
    # The checks had work to do.
    assert refused > 0.9 * tried
    assert (changed, crashed, json.loads(said[4])) == (0, 0, [])


FORGED = """
import pickle
import safetensors.numpy
import skgmje
from skgmje._persistence._container import pack, unpack

folder = sys.argv[1]
path, flag = folder + "/model", folder + "/flag"
mixture = skgmje.GaussianMixture(2, random_state=0).fit(X)
mixture.save(path)
good = open(path, "rb").read()

class Evil:
    def __reduce__(self):
        return open, (flag, "w")

def forged(change):
    document, arrays = unpack(good)
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(document["model"], dict(document["model"]["state"]), arrays)
    return pack(document, arrays)

def fill(name, value):
    def change(model, state, arrays):
        arrays[state[name]["array"][0]][...] = value
    return change

def node(value):
    return lambda model, state, arrays: model["state"].append(["x_", value])

def named(name):
    return lambda model, state, arrays: model.update(object=name)

nested = 1
for _ in range(150):
    nested = {"tuple": [nested]}
FILES = {
    "pickle": pickle.dumps(Evil()),
    "pickle as an array": safetensors.numpy.save(
        {"0": np.frombuffer(pickle.dumps(Evil()), np.uint8)}, {"skgmje": "{}"}
    ),
    "huge header": (2**62).to_bytes(8, "little") + good[8:],
    "huge strings": forged(node({"strings": ["str", [2**40, 2**40], ["a"]]})),
    "NaN covariance": forged(fill("covariances_", np.nan)),
    "not positive definite": forged(fill("covariances_", -1.0)),
    "path as a class": forged(named("../../os.system")),
    "function as a class": forged(named("builtins.exec")),
    "deep nesting": forged(node(nested)),
    "same key twice": good.replace(b'"shape"', b'"dtype"', 1),
    "unknown tag": forged(node({"eval": "open(%r, 'w')" % flag})),
    "hidden method": forged(
        lambda model, state, arrays: model["state"].append(["score_samples", 1])
    ),
}
for name, data in FILES.items():
    with open(path, "wb") as file:
        file.write(data)
    try:
        skgmje.load(path)
        print(name, "was loaded")
    except ValueError:
        print("refused")
print("code was run" if os.path.exists(flag) else "clean")
"""


def test_forged_files(tmp_path, answer_of, record):
    said = answer_of(FORGED, tmp_path).splitlines()
    record("forged file", len(said) - 1, said.count("refused"))
    assert len(said) > 10
    assert said == ["refused"] * (len(said) - 1) + ["clean"]


PICKLED = """
import pickle
flag = sys.argv[1] + "/flag"
class Evil:
    def __reduce__(self):
        return open, (flag, "w")
pickle.loads(pickle.dumps(Evil())).close()
print(os.path.exists(flag))
"""


def test_the_payload_would_have_worked(tmp_path, answer_of):
    assert answer_of(PICKLED, tmp_path) == "True"
