"""Gaussian mixture joint embeddings."""

from numbers import Integral, Real

from sklearn.base import BaseEstimator, clone

from skgmje._sklearn import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from skgmje._validation import TypeOptions
from skgmje.conditional._models import Fit
from skgmje.conditional._source import Settings
from skgmje.conditional._sources import SOURCES, source_of
from skgmje.embedding._base import (
    PARAMETER_CONSTRAINTS,
    EmbedderMixin,
    latent_density,
    standardize_views,
)
from skgmje.gaussian import COVARIANCE_TYPES
from skgmje.mixture import GaussianMixture

# Components of loss="joint", while n_components="auto" has nothing to go by.
N_PROTOTYPES = 20

# Iterations of EM after an interrupt.
_HURRIED_STEPS = 5
_AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")

_MIXTURE_PARAMS = {
    "max_iter": [_AT_LEAST_ONE, StrOptions({"auto"})],
    "tol": [Interval(Real, 0, None, closed="left")],
    "batch_size": [_AT_LEAST_ONE, StrOptions({"auto"})],
    "learning_rate": [_POSITIVE],
    "n_members": [_AT_LEAST_ONE],
    "hidden_layer_sizes": ["array-like"],
    "min_scale": [_POSITIVE],
}


class GMJEEmbedder(EmbedderMixin, BaseEstimator):
    r"""Gaussian mixture joint embeddings: a mixture of two views' embeddings.

    An encoder maps two views of a sample to embeddings whose joint density is a
    Gaussian mixture; its conditional predicts one view from the other in closed form,
    with several modes where there are several:

    .. math:: p(z_t | z_c) = \sum_k \gamma_k(z_c)\, N(z_t; m_k(z_c), V_k)

    The encoder is trained with the unimodal loss of :func:`gje_loss`, no labels
    needed; the mixture is fitted to the finished embeddings.

    Parameters
    ----------
    embedding_dim : int or 'auto', default='auto'
        Width of the embedding; 'auto' is 32, or an eighth of the samples in
        a batch if that is less; for images 64, or a quarter.

    views : {'augment', 'neighbors', 'pair'}, default='augment'
        Where the two views of a sample come from. 'augment': two augmentations of
        it. 'neighbors': augmentations of the sample and of its nearest mutual
        neighbour along the principal directions; samples without one are left out.
        'pair': the sample of `X` and that of `y`, which is then 2-d.

    augmentation : {'aligned', 'scene'}, callable or None, default=None
        What makes another view. Of images: 'aligned' mirrors and blurs them and
        changes light and noise, for objects that fill the picture; 'scene' mirrors,
        turns and crops them, for things that may be anywhere; an
        :class:`~skgmje.embedding.ImageAugmentation` says what else.
        ``augmentation(batch, generator)`` returns a view of a batch, a tensor in
        the units of `X`, of shape (n, channels, height, width) for images;
        randomness is drawn from the :class:`torch.Generator`. None is noise of 0.8
        standard deviations, a fifth of the features set to their means, and a random
        gain of a tenth.
        With 'pair' it only regularises the training: None changes both views,
        everything else `X` alone.

    mixture : {'prototypes', 'network', 'neural-gas', 'memory-bank'}, \
            default='prototypes'
        Source of the mixture's components: a joint mixture by EM, an ensemble of
        mixture density networks, a neural gas, or a bank of weighted past pairs.

    n_components : int or 'auto', default='auto'
        Number of components; 'auto' is chosen by held-out density.

    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low-rank', 'auto'}, \
            default='full'
        Shape of the components' covariances.

    shrinkage : float or 'auto', default='auto'
        Pseudo-count, in samples, of the pooled covariance.

    reg_covar : float, default=1e-4
        Added to the variances of standardized embeddings.

    mixture_params : dict or None, default=None
        Further settings of the source: ``max_iter``, ``tol``, ``batch_size``,
        ``learning_rate``, ``n_members``, ``hidden_layer_sizes``, ``min_scale``.

    encoder : {'mlp', 'convnet'}, torch.nn.Module, callable or None, default=None
        Maps samples of shape (n, n_features), or images of shape (n, channels,
        height, width), to embeddings. 'mlp' is a perceptron with batch
        normalisation; 'convnet' has four strided convolutions, for images; None is
        'convnet' for images and 'mlp' else. A module is copied; a callable builds
        one from ``(n_features, embedding_dim)``. Without parameters to learn it is
        used as it is.

    target_encoder : {'mlp', 'convnet'}, torch.nn.Module, callable or None, \
            default=None
        The same for `y`, with ``views="pair"``.

    image_shape : tuple of int or None, default=None
        Height, width and maybe channels, last, if `X` holds images as rows.
        Images of shape (n, height, width[, channels]) need none.

    hidden_layer_sizes : tuple of int or 'auto', default='auto'
        Hidden layers of the perceptron, or those after the convolutions; 'auto'
        is (256, 128), or (512,).

    embedding_layer : {'output', 'hidden', 'multi'}, default='output'
        What :meth:`transform` returns: the embedding, the layer before it, or all
        layers (of the convolutions their means over a coarse grid) side by side.
        'hidden' serves few labels best, 'multi' linear models of many labels.
        With 'hidden' an own `encoder` may have any width; a layer on top of it
        makes the embedding. After the fit it may be changed.

    passthrough : bool, default=False
        Whether :meth:`transform` also returns up to 128 principal components of
        the sample itself, scaled to weigh as much as the layer.

    loss : {'gje', 'joint', 'pmi', 'infonce', 'vicreg', 'barlow', 'naive'} or \
            callable, default='gje'
        Key of :data:`skgmje.embedding.LOSSES`, or a function of both views'
        embeddings that returns a tensor; it gets those of `rho`,
        `logdet_weight`, `mixture` and `moments` (averaged covariances) that it
        names. 'naive' shows the trap: it collapses.

    rho : float, default=0.9
        Correlation of the views in ``loss="gje"``, below one. The lower, the more
        are directions shrunk in which views differ.

    logdet_weight : float, default=1.0
        Weight of the marginal log-determinants in 'gje' and 'joint'. They keep
        the embeddings from collapse.

    moment_decay : float, default=0.0
        Momentum of the running covariances of both views in 'gje' and 'joint', below
        one; the gradient is that of the batch. About 0.5 allows batches with fewer
        samples than twice `embedding_dim`.
        Averages over many batches lag behind the encoder, which then shrinks
        directions.

    target : {'shared', 'ema'}, default='shared'
        Whether the second view has the same encoder, or one that follows it as
        a moving average, without a gradient.

    norm : {'sphere', 'batch'} or None, default=None
        Constraint on the embeddings: all of one length, or standardized.

    standardize : bool, default=True
        Whether every feature gets unit variance before the encoder. Otherwise
        one scale serves all. Of images it is every channel.

    max_iter : int, default=300
        Number of gradient steps. With 0 the encoder stays untrained: the control
        that any encoder should be compared to.

    batch_size : int or 'auto', default='auto'
        Samples per step, without `moment_decay` at least twice `embedding_dim`.
        'auto': 256, or eight times `embedding_dim`, of images four times.

    learning_rate : float, default=0.002
        Step size of Adam at the start of its cosine.

    device : str, default='auto'
        Where to train and to embed: 'cpu', 'cuda', ...; 'auto' is a GPU if
        there is one. A fitted embedder falls back to the CPU.

    callbacks : list of skorch callbacks or None, default=None
        Passed on to skorch.

    net_params : dict or None, default=None
        Passed on to :class:`skorch.NeuralNet`.

    checkpoint_dir : str, path-like or None, default=None
        Folder in which the fit keeps its state: after a crash the same fit goes on
        from there, to the same bits. One folder per fit, an integer `random_state`,
        no `callbacks`; needs the extra ``io``.

    random_state : int, RandomState instance or None, default=None
        Controls encoders, views, batches, the mixture and :meth:`sample`.

    verbose : int, default=0
        1 prints a line every tenth of the training, 2 every hundredth.

    Attributes
    ----------
    encoder_ : torch.nn.Module
        Trained encoder, on the CPU.

    target_encoder_ : torch.nn.Module
        Encoder of the second view; `encoder_` itself where it is shared.

    latent_mixture_ : Mixture
        Density of the context embedding.

    occupancy_ : ndarray of shape (n_components,)
        Share of the training samples that each component of it accounts for.

    embedding_dim_ : int
        Width of the embedding.

    effective_rank_ : float
        Effective number of directions of the training embeddings.

    std_ : ndarray of shape (embedding_dim,)
        Standard deviations of the training embeddings.

    logdet_marginals_ : ndarray of shape (2,)
        Log-determinants of the covariances of context and target.

    logdet_drop_ : ndarray of shape (2,)
        By how much they fell in training.

    loss_curve_ : ndarray of shape (n_iter_,)
        Loss before each step.

    information_ : ndarray of shape (2,)
        Mutual information of two views of training samples, in nats, as if they were
        Gaussian: of the untrained encoder, and of the trained one.

    n_iter_ : int
        Number of gradient steps.

    image_shape_ : tuple of int or None
        Height, width and channels of the images in `X`, if there are any.

    n_features_in_ : int
        Number of features of a sample.

    See Also
    --------
    GJEEmbedder : With one Gaussian.
    skgmje.embedding.ImageAugmentation : Other views of images.
    diagnose : Checks whether embeddings have collapsed.

    Notes
    -----
    Training of 'convnet' multiplies in bfloat16 where the processor does that
    faster; normalisations and the loss are in single precision. Images become
    single precision. The same seed gives the same bits if torch has the same number
    of threads; other roundings lead to another network that is as good.

    An encoder or augmentation of others that draws random numbers from torch's
    global state holds a lock while it trains: one such fit at a time.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje import GMJEEmbedder
    >>> X, _ = load_digits(return_X_y=True)
    >>> embedder = GMJEEmbedder(8, n_components=10, max_iter=50, random_state=0)
    >>> embedder.fit(X).transform(X).shape
    (1797, 8)
    >>> Z, component = embedder.sample(5)
    >>> Z.shape
    (5, 8)
    """

    _parameter_constraints: dict = {
        **PARAMETER_CONSTRAINTS,
        "mixture": [StrOptions(set(SOURCES) - {"auto"})],
        "n_components": [_AT_LEAST_ONE, StrOptions({"auto"})],
        "covariance_type": [TypeOptions()],
        "shrinkage": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "reg_covar": [Interval(Real, 0, None, closed="left")],
        "mixture_params": [dict, None],
    }

    def __init__(
        self,
        embedding_dim="auto",
        *,
        views="augment",
        augmentation=None,
        mixture="prototypes",
        n_components="auto",
        covariance_type="full",
        shrinkage="auto",
        reg_covar=1e-4,
        mixture_params=None,
        encoder=None,
        target_encoder=None,
        image_shape=None,
        hidden_layer_sizes="auto",
        embedding_layer="output",
        passthrough=False,
        loss="gje",
        rho=0.9,
        logdet_weight=1.0,
        moment_decay=0.0,
        target="shared",
        norm=None,
        standardize=True,
        max_iter=300,
        batch_size="auto",
        learning_rate=2e-3,
        device="auto",
        callbacks=None,
        net_params=None,
        checkpoint_dir=None,
        random_state=None,
        verbose=0,
    ):
        self.embedding_dim = embedding_dim
        self.views = views
        self.augmentation = augmentation
        self.mixture = mixture
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.shrinkage = shrinkage
        self.reg_covar = reg_covar
        self.mixture_params = mixture_params
        self.encoder = encoder
        self.target_encoder = target_encoder
        self.image_shape = image_shape
        self.hidden_layer_sizes = hidden_layer_sizes
        self.embedding_layer = embedding_layer
        self.passthrough = passthrough
        self.loss = loss
        self.rho = rho
        self.logdet_weight = logdet_weight
        self.moment_decay = moment_decay
        self.target = target
        self.norm = norm
        self.standardize = standardize
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.device = device
        self.callbacks = callbacks
        self.net_params = net_params
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    def _fit_density(self, settings, z_context, z_target, random_state, task):
        context, target = standardize_views(z_context, z_target)
        rows = context.forward(z_context), target.forward(z_target)
        source, joint, how = settings
        if task.when:
            size = 1 if joint.n_components == "auto" else joint.n_components
            hurried = {"n_components": size, "max_iter": _HURRIED_STEPS}
            source = source_of(clone(joint).set_params(**hurried))
        fit = task.learn(Fit, source._fit, *rows, how, random_state=random_state)
        density = latent_density(
            fit.model, z_context, context, target, joint, random_state
        )
        return density, fit.trouble

    @property
    def _n_prototypes(self):
        """Number of components in ``loss="joint"``."""
        return N_PROTOTYPES if self.n_components == "auto" else self.n_components

    def _density_settings(self):
        from skgmje._training._hardware import resolve_device

        params = dict(self.mixture_params or {})
        unknown = sorted(set(params) - set(_MIXTURE_PARAMS))
        if unknown:
            raise ValueError(
                f"mixture_params has {unknown}, which are no settings of a mixture's "
                f"fit. Known are {list(_MIXTURE_PARAMS)}."
            )
        validate_parameter_constraints(_MIXTURE_PARAMS, params, "mixture_params")
        params = {k: v for k, v in params.items() if not isinstance(v, str)}
        names = ("n_components", "covariance_type", "shrinkage", "reg_covar")
        asked = {name: getattr(self, name) for name in names} | params
        joint = GaussianMixture(rank=1)
        joint.set_params(**{k: v for k, v in asked.items() if hasattr(joint, k)})
        source = joint
        if self.mixture != "prototypes":
            source = SOURCES[self.mixture]()
            # What is 'auto' is left to it, as are covariances that it does not have.
            known = {k: v for k, v in asked.items() if hasattr(source, k)}
            known = {k: v for k, v in known.items() if not isinstance(v, str)}
            source.set_params(**known, covariance_type=self._source_type())
        how = Settings(device=resolve_device(self.device))
        return source_of(source), joint, how

    def _source_type(self):
        """Return the covariance type that the source has for `covariance_type`."""
        kind = "full" if self.covariance_type == "auto" else self.covariance_type
        if self.mixture != "network":
            return kind
        return "diag" if COVARIANCE_TYPES[kind].independent else "full"
