"""Joint embeddings by a Gaussian mixture, and by one Gaussian."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from sklearn.base import clone

from skgmje._sklearn import StrOptions
from skgmje._typing import NDArray, RandomState
from skgmje.conditional._models import Fit, JointConditional
from skgmje.conditional._source import Settings
from skgmje.conditional._sources import KINDS, SOURCES, source_of
from skgmje.embedding._base import Embedder, latent_density, standardize_views
from skgmje.embedding._views import gaussian
from skgmje.mixture import GaussianMixture

# Components of loss="joint", while the number of the mixture's is "auto".
_N_PROTOTYPES = 20
# Iterations of EM after an interrupt.
_HURRIED_STEPS = 5
# Added to the variances of standardized embeddings, unless a mixture says what is.
_REG_COVAR = 1e-4


class GMJEEmbedder(Embedder):
    r"""Gaussian mixture joint embeddings: a mixture of two views' embeddings.

    An encoder maps two views of a sample to embeddings whose joint density is a
    Gaussian mixture; its conditional predicts one view from the other in closed form,
    with several modes where there are several:

    .. math:: p(z_t | z_c) = \sum_k \gamma_k(z_c)\, N(z_t; m_k(z_c), V_k)

    The encoder is trained with :func:`gje_loss`, without labels; the mixture is fitted
    to the finished embeddings.

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
        turns and crops them, for objects that may be anywhere; or an
        :class:`~skgmje.embedding.ImageAugmentation`.
        ``augmentation(batch, generator)`` returns a view of a batch, a tensor in
        the units of `X`, of shape (n, channels, height, width) for images, drawn by a
        :class:`torch.Generator`. None is noise of 0.8 standard deviations, a fifth of
        the features set to their means, and a random gain of a tenth.
        With 'pair' it only regularises: None changes both views, all else `X` alone.

    encoder : {'auto', 'mlp', 'convnet'}, object or pair of them, default='auto'
        Maps samples to embeddings. 'mlp' is :class:`~skgmje.embedding.MLP`, 'convnet'
        :class:`~skgmje.embedding.ConvNet`; 'auto' is 'convnet' for images and 'mlp'
        else. A :class:`torch.nn.Module` is copied, a callable builds one,
        :class:`~skgmje.embedding.Encoder` adds settings. With ``views="pair"`` each
        view has a network of its own, of this kind or that of a pair
        ``(encoder of X, encoder of y)``.

    mixture : str, GaussianMixture or source, default='prototypes'
        Density of both embeddings, which are standardized for it. 'prototypes' is a
        joint mixture by EM, 'network' an ensemble of mixture density networks,
        'neural-gas' starts at the nodes of a gas, 'memory-bank' has weighted past
        pairs for components; their number is chosen by held-out density. With
        settings: :class:`~skgmje.mixture.GaussianMixture` and the sources of
        :class:`~skgmje.conditional.ConditionalMixtureDensity`.

    loss : str, GJELoss, JointLoss, SIGRegLoss or callable, default='gje'
        Key of :data:`skgmje.embedding.LOSSES`: 'gje', 'joint', 'pmi', 'infonce',
        'vicreg', 'barlow', 'sigreg', 'gje+sigreg' or 'naive', which shows the trap: it
        collapses. :class:`~skgmje.embedding.GJELoss`,
        :class:`~skgmje.embedding.JointLoss` and :class:`~skgmje.embedding.SIGRegLoss`
        have settings. A function of both views' embeddings returns a tensor; one that
        names `mixture` gets a mixture to learn, `generator` a :class:`torch.Generator`.

    output : {'embedding', 'hidden', 'multi'} or list of str, default='embedding'
        What :meth:`transform` returns: the embedding, the layer before it, or all
        layers (of convolutions their means over a coarse grid) side by side. 'hidden'
        serves few labels best, 'multi' linear models of many labels. With 'hidden' an
        own `encoder` may have any width; a layer on top of it makes the embedding. A
        list puts several side by side; in it 'input' stands for up to 128 principal
        components of the sample, scaled to the variance of the layers. After the fit
        it may be changed, but for 'input'.

    standardize : bool, default=True
        Whether every feature gets unit variance before the encoder. Otherwise
        one scale serves all. Of images it is every channel.

    max_iter : int, default=300
        Number of gradient steps. With 0 the encoder stays untrained, as a control.

    batch_size : int or 'auto', default='auto'
        Samples per step, at least twice `embedding_dim` unless the loss averages its
        moments. 'auto': 256, or eight times `embedding_dim`, of images four times.

    learning_rate : float, default=0.002
        Step size of Adam at the start of its cosine.

    device : str, default='auto'
        Where to train and to embed: 'cpu', 'cuda', ...; 'auto' is a GPU if
        there is one. A fitted embedder falls back to the CPU.

    trainer : dict or None, default=None
        Further settings of the training: ``"callbacks"``, a list of skorch callbacks;
        ``"checkpoint_dir"``, a folder in which the fit keeps its state: after a crash
        the same fit goes on from there, to the same bits (one folder per fit, an
        integer `random_state`, no callbacks; needs the extra ``io``); other keys are
        parameters of :class:`skorch.NeuralNet`, such as ``"optimizer"``.

    random_state : int, RandomState instance or None, default=None
        Controls encoders, views, batches, the mixture and :meth:`sample`.

    verbose : int, default=0
        1 prints a line every tenth of the training, 2 every hundredth.

    Attributes
    ----------
    encoder_, target_encoder_ : torch.nn.Module
        Trained encoders of both views, on the CPU; one where it is shared.

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

    logdet_marginals_, logdet_drop_ : ndarray of shape (2,)
        Log-determinants of the covariances of context and target, in nats, and by how
        much they fell in training.

    loss_curve_ : ndarray of shape (n_iter_,)
        Loss before each step.

    information_ : ndarray of shape (2,)
        Mutual information of two views of training samples, in nats, as if they were
        Gaussian: of the untrained encoder, and of the trained one.

    n_iter_ : int
        Number of gradient steps.

    image_shape_ : tuple of int or None
        Height, width and channels of the images in `X`, if there are any.

    n_features_in_, feature_names_in_ : int and ndarray of str
        Number and names of the features of a sample.

    See Also
    --------
    GJEEmbedder : With one Gaussian.
    diagnose : Checks whether embeddings have collapsed.

    Notes
    -----
    Images become single precision; training of 'convnet' multiplies in bfloat16 where
    the processor does that faster. The same seed gives the same bits if torch has the
    same number of threads; other roundings lead to another network that is as good.

    An encoder or augmentation of others that draws random numbers from torch's
    global state holds a lock while it trains: one such fit at a time.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje import GaussianMixture, GMJEEmbedder
    >>> X, _ = load_digits(return_X_y=True)
    >>> mixture = GaussianMixture(10, shrinkage="auto", reg_covar=1e-4)
    >>> embedder = GMJEEmbedder(8, mixture=mixture, max_iter=50, random_state=0)
    >>> embedder.fit(X).transform(X).shape
    (1797, 8)
    >>> Z, component = embedder.sample(5)
    >>> Z.shape
    (5, 8)
    """

    _parameter_constraints: dict = {
        **Embedder._parameter_constraints,
        "mixture": [StrOptions(set(SOURCES) - {"auto"}), GaussianMixture, *KINDS],
    }

    def __init__(
        self,
        embedding_dim: int | Literal["auto"] = "auto",
        *,
        views: Literal["augment", "neighbors", "pair"] = "augment",
        augmentation: Literal["aligned", "scene"] | Callable[..., Any] | None = None,
        encoder: Any = "auto",
        mixture: Any = "prototypes",
        loss: Any = "gje",
        output: Literal["embedding", "hidden", "multi"] | list[str] = "embedding",
        standardize: bool = True,
        max_iter: int = 300,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: float = 2e-3,
        device: str = "auto",
        trainer: dict[str, Any] | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            embedding_dim,
            views=views,
            augmentation=augmentation,
            encoder=encoder,
            loss=loss,
            output=output,
            standardize=standardize,
            max_iter=max_iter,
            batch_size=batch_size,
            learning_rate=learning_rate,
            device=device,
            trainer=trainer,
            random_state=random_state,
            verbose=verbose,
        )
        self.mixture = mixture

    @property
    def _n_prototypes(self):
        n_components = getattr(self.mixture, "n_components", "auto")
        return _N_PROTOTYPES if n_components == "auto" else n_components

    def _density_settings(self, device):
        mixture = self.mixture
        if isinstance(mixture, str):
            mixture = SOURCES[mixture]()
            if hasattr(mixture, "reg_covar"):
                mixture.set_params(reg_covar=_REG_COVAR)
        source = source_of(clone(mixture))
        if any(trainer.checkpoint_dir is not None for trainer in source._trainers()):
            raise ValueError(
                f"mixture={mixture!r} has a checkpoint_dir, but a fit has one folder: "
                "that of the embedder's trainer."
            )
        joint = mixture
        if not isinstance(mixture, GaussianMixture):
            # Of the contexts alone, and what is left of an interrupted fit.
            size = getattr(mixture, "n_components", "auto")
            joint = GaussianMixture(size, shrinkage="auto", reg_covar=_REG_COVAR)
        return source, joint, Settings(device=device)

    def _fit_density(self, settings, z_context, z_target, random_state, task):
        source, joint, how = settings
        context, target = standardize_views(z_context, z_target)
        rows = context.forward(z_context), target.forward(z_target)
        if task.when:
            size = 1 if joint.n_components == "auto" else joint.n_components
            hurried = {"n_components": size, "max_iter": _HURRIED_STEPS}
            source = source_of(clone(joint).set_params(**hurried))
        fit = task.learn(Fit, source._fit, *rows, how, random_state=random_state)
        density = latent_density(
            fit.model, z_context, context, target, joint, random_state
        )
        return density, fit.complaint


class GJEEmbedder(Embedder):
    r"""Gaussian joint embeddings: one Gaussian of two views' embeddings.

    An encoder f maps two views of a sample to embeddings whose joint density is a
    Gaussian; the conditional predicts one view from the other, with covariance:

    .. math:: p(z_t | z_c) = N(\mu_t + \Sigma_{tc} \Sigma_{cc}^{-1}
        (z_c - \mu_c),\; \Sigma_{tt} - \Sigma_{tc} \Sigma_{cc}^{-1} \Sigma_{ct})

    The encoder is trained with :func:`gje_loss`, without labels; the moments are those
    of the finished embeddings.

    Parameters mean what they mean for :class:`GMJEEmbedder`, which says more of each;
    all its attributes are here too.

    Parameters
    ----------
    embedding_dim : int or 'auto', default='auto'
        Width of the embedding.

    views : {'augment', 'neighbors', 'pair'}, default='augment'
        Where the two views of a sample come from.

    augmentation : {'aligned', 'scene'}, callable or None, default=None
        What makes another view.

    encoder : str, MLP, ConvNet, Encoder, Module, callable or pair, default='auto'
        Maps samples to embeddings: 'auto', 'mlp', 'convnet', or one of its own.

    loss : str, GJELoss, JointLoss, SIGRegLoss or callable, default='gje'
        What the training lowers.

    output : {'embedding', 'hidden', 'multi'} or list of str, default='embedding'
        What :meth:`transform` returns.

    standardize : bool, default=True
        Whether every feature, of images every channel, gets unit variance first.

    max_iter : int, default=300
        Number of gradient steps.

    batch_size : int or 'auto', default='auto'
        Samples per step.

    learning_rate : float, default=0.002
        Step size of Adam at the start of its cosine.

    device : str, default='auto'
        Where to train and to embed.

    trainer : dict or None, default=None
        Further settings of the training.

    random_state : int, RandomState instance or None, default=None
        Controls encoders, views, batches and :meth:`sample`.

    verbose : int, default=0
        1 prints a line every tenth of the training, 2 every hundredth.

    Attributes
    ----------
    mean_ : ndarray of shape (2 * embedding_dim,)
        Mean of context and target embeddings, in this order.

    covariance_ : ndarray of shape (2 * embedding_dim, 2 * embedding_dim)
        Their joint covariance.

    See Also
    --------
    GMJEEmbedder : With a mixture in place of the Gaussian.

    References
    ----------
    .. [1] Y. Huang, "Gaussian Joint Embeddings For Self-Supervised
       Representation Learning", 2026. :arxiv:`2603.26799`

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skgmje import GJEEmbedder
    >>> X, _ = load_digits(return_X_y=True)
    >>> embedder = GJEEmbedder(8, max_iter=50, random_state=0).fit(X)
    >>> embedder.transform(X).shape
    (1797, 8)
    >>> mean, std = embedder.predict(X[:2], return_std=True)
    >>> std.shape
    (2, 8)
    """

    mean_: NDArray[Any]
    covariance_: NDArray[Any]

    _n_prototypes = 1

    def _density_settings(self, device):
        return None

    def _fit_density(self, settings, z_context, z_target, random_state, task):
        mixture = gaussian(z_context, z_target)
        self.mean_, self.covariance_ = mixture.means[0], mixture.covariances[0]
        context, target = standardize_views(z_context, z_target)
        loc, scale = map(np.concatenate, zip(context[:2], target[:2], strict=True))
        standard = mixture.affine(1 / scale, -loc / scale)
        model = JointConditional(standard, z_context.shape[1])
        return latent_density(model, z_context, context, target), ""
