"""Nothing is sent or opened: no socket by import, fit, save or load."""

WATCH = """
events = []
sys.addaudithook(
    lambda event, args: event.startswith("socket.") and events.append(event)
)
"""
CODE = """
import skgmje
from skgmje.conditional import MixtureNetwork
from skgmje.utils import all_estimators
from skgmje.embedding import MLP
small = dict(max_iter=3, hidden_layer_sizes=(4,), random_state=0)
encoder = dict(max_iter=3, encoder=MLP((4,)), random_state=0)
fits = (
    skgmje.GaussianMixture(2, random_state=0),
    skgmje.KernelMixtureDensity(2, max_iter=3, random_state=0),
    skgmje.GrowingNeuralGasMixture(8, shrinkage=2.0, random_state=0),
    skgmje.GJEEmbedder(2, **encoder),
    skgmje.GMJEEmbedder(2, mixture=skgmje.GaussianMixture(2), **encoder),
    skgmje.ConditionalMixtureDensity(
        ["prototypes", MixtureNetwork(n_members=2, max_iter=3)], random_state=0
    ),
)
for estimator in fits:
    conditional = isinstance(estimator, skgmje.ConditionalMixtureDensity)
    fitted = estimator.fit(X, Y) if conditional else estimator.fit(X)
    fitted.save(sys.argv[1])
    skgmje.load(sys.argv[1]).predict(X)
print(len(fits), len(events), sorted(set(events)))
"""


def test_no_socket_is_opened(tmp_path, answer_of, record):
    said = answer_of(WATCH + CODE, tmp_path / "model")
    tried, n_events, events = said.split(maxsplit=2)
    record("socket by import, fit, save and load", int(tried), int(tried))
    assert (n_events, events) == ("0", "[]")


def test_the_watch_sees_sockets(answer_of):
    said = answer_of(WATCH + "import socket; socket.socket().close(); print(events)")
    assert "socket.__new__" in said
