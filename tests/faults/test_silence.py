"""Nothing is sent or opened: no socket by import, fit, save or load."""

CODE = """
events = []
sys.addaudithook(
    lambda event, args: event.startswith("socket.") and events.append(event)
)
if sys.argv[2] == "open one":
    import socket
    socket.socket().close()
import skgmje
from skgmje.utils import all_estimators
small = dict(max_iter=3, hidden_layer_sizes=(4,), random_state=0)
fits = (
    skgmje.GaussianMixture(2, random_state=0),
    skgmje.KernelMixtureDensity(2, **small),
    skgmje.GrowingNeuralGasMixture(8, shrinkage=2.0, random_state=0),
    skgmje.ConditionalMixtureDensity(n_members=2, **small),
    skgmje.GJEEmbedder(2, **small),
    skgmje.GMJEEmbedder(2, n_components=2, **small),
)
for estimator in fits:
    conditional = isinstance(estimator, skgmje.ConditionalMixtureDensity)
    fitted = estimator.fit(X, Y) if conditional else estimator.fit(X)
    fitted.save(sys.argv[1])
    skgmje.load(sys.argv[1]).predict(X)
print(len(fits), len(events), sorted(set(events)))
"""


def test_no_socket_is_opened(tmp_path, answer_of, record):
    said = answer_of(CODE, tmp_path / "model", "none")
    tried, n_events, events = said.split(maxsplit=2)
    record("socket by import, fit, save and load", int(tried), int(tried))
    assert (n_events, events) == ("0", "[]")


def test_the_watch_sees_sockets(tmp_path, answer_of):
    said = answer_of(CODE, tmp_path / "model", "open one")
    assert "socket.__new__" in said
