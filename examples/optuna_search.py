"""
====================================
Search the settings with Optuna
====================================

Estimators have the parameters of scikit-learn, so that any tool that searches those
can search ours. Optuna proposes settings one after the other, and learns from the
scores: the mean log-likelihood of held-out samples, which all settings share.
"""

from sklearn.datasets import make_moons
from sklearn.model_selection import cross_val_score

from skgmje import GaussianMixture

try:
    import optuna
except ImportError:
    print('optuna is missing: pip install "skgmje[search]"')
    raise SystemExit from None

X, _ = make_moons(400, noise=0.1, random_state=0)


def make_density(trial):
    """Return a density with the settings of a trial."""
    return GaussianMixture(
        n_components=trial.suggest_int("n_components", 1, 30, log=True),
        covariance_type=trial.suggest_categorical(
            "covariance_type", ["full", "tied", "diag", "spherical"]
        ),
        shrinkage=trial.suggest_float("shrinkage", 0.01, 100.0, log=True),
        max_iter=300,
        random_state=0,
    )


def held_out_score(trial):
    return cross_val_score(make_density(trial), X, cv=5).mean()


optuna.logging.set_verbosity(optuna.logging.WARNING)
study = optuna.create_study(
    direction="maximize", sampler=optuna.samplers.TPESampler(seed=0)
)
study.optimize(held_out_score, n_trials=40)

default = cross_val_score(GaussianMixture(2, random_state=0), X, cv=5).mean()
print(f"two full components: {default:.3f} nats per row")
print(f"best of 40 trials:   {study.best_value:.3f} nats per row")
for name, value in study.best_params.items():
    print(f"  {name} = {value}")
