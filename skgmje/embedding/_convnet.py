"""A small convolutional network of images. Imports torch: import it late."""

import math
from contextlib import nullcontext

import torch
from torch import nn
from torch.nn import functional

from skgmje.embedding._augmentation import ImageAugmentation, find_augmentation
from skgmje.embedding._perceptron import hidden_layers
from skgmje.modules._device import fast_training

# Channels of the first maps, and the sides of those that dense layers see.
_WIDTH = 24
_SIDE = 4
# Some processors get strided convolutions of bfloat16 wrong whose input is one or two
# pixels wide; the last of ours sees a quarter.
_NARROW = 8
# Sides to which the maps of the stages are pooled, to be put side by side.
_POOLED = (3, 3, 2)


class AsImages(nn.Module):
    """A network of images as one of rows with channels last.

    Parameters
    ----------
    network : nn.Module
        Of images of shape (n_samples, channels, height, width).

    shape : tuple of int
        Height, width and channels.
    """

    def __init__(self, network, shape):
        super().__init__()
        self.network = network
        self.shape = shape

    def forward(self, X):
        return self.network(to_images(X, self.shape))


def to_images(X, shape):
    """Return rows as images with channels first, without a copy.

    Parameters
    ----------
    X : tensor of shape (n_samples, n_features)
        Rows, channels last.

    shape : tuple of int
        Height, width and channels.

    Returns
    -------
    images : tensor of shape (n_samples, channels, height, width)
        In memory channels are last.
    """
    return X.unflatten(1, shape).permute(0, 3, 1, 2)


def to_rows(images):
    """Return images with channels first as rows with channels last."""
    return images.permute(0, 2, 3, 1).flatten(1)


class OnImages:
    """A function of images as one of rows.

    Parameters
    ----------
    function : callable
        Gets images of shape (n_samples, channels, height, width) and a generator.

    shape : tuple of int
        Height, width and channels.
    """

    def __init__(self, function, shape):
        self.function = function
        self.shape = shape

    def __call__(self, batch, random_state):
        return to_rows(self.function(to_images(batch, self.shape), random_state))


class ConvNet(nn.Module):
    """Four strided convolutions in three stages, and dense layers on their maps.

    Training uses bfloat16 where the processor multiplies it faster; the outputs are
    of single precision, and so are statistics of batches.

    Parameters
    ----------
    shape : tuple of int
        Height, width and channels of the images.

    hidden_layer_sizes : sequence of int
        Widths of the dense layers.

    side : int
        Side to which the last maps are pooled, if they are larger.

    random_state : torch.Generator
        The source of randomness, on the CPU.
    """

    def __init__(self, shape, hidden_layer_sizes, side, random_state):
        super().__init__()
        self.shape = shape
        width, channels = _WIDTH, shape[2]
        widths = (channels, width, 2 * width, 4 * width, 4 * width)
        kernels, strides = (5, 3, 3, 3), (2, 2, 1, 2)
        blocks = [
            _convolution(*pair, kernel, stride, random_state)
            for *pair, kernel, stride in zip(
                widths, widths[1:], kernels, strides, strict=False
            )
        ]
        last = nn.Sequential(*blocks[2:])
        self.stages = nn.ModuleList([*blocks[:2], last])
        size = [math.ceil(length / math.prod(strides)) for length in shape[:2]]
        self.size = [min(side, length) for length in size]
        sizes = (4 * width * math.prod(self.size), *hidden_layer_sizes)
        self.top = nn.Sequential(*hidden_layers(sizes, random_state))
        self.width = sizes[-1]
        self.to(memory_format=torch.channels_last)

    def maps(self, X):
        """Return the maps of the stages."""
        maps = [to_images(X, self.shape)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

    def forward(self, X):
        wide = min(self.shape[:2]) > _NARROW
        with fast_training(self, X) if wide else nullcontext():
            hidden = self.top(_pooled(self.maps(X)[-1], self.size))
        return hidden.to(X.dtype)

    def multi(self, X):
        """Return pooled maps of all stages side by side."""
        found = []
        for stage, side in zip(self.maps(X), _POOLED, strict=True):
            size = [min(side, length) for length in stage.shape[2:]]
            found.append(_pooled(stage, size))
        return torch.cat(found, dim=1)


def _pooled(maps, size):
    """Return maps as rows, pooled to a size."""
    # Pooling costs a tenth of a step even where it changes nothing.
    if list(maps.shape[2:]) != size:
        maps = functional.adaptive_avg_pool2d(maps, size)
    return to_rows(maps)


def _convolution(n_in, n_out, kernel, stride, random_state):
    """Return a convolution, its normalisation and ReLU units."""
    # Its own start would draw from the random state that torch keeps for all.
    sizes = (n_in, n_out, kernel, stride, kernel // 2)
    layer = nn.utils.skip_init(nn.Conv2d, *sizes, bias=False)
    bound = 1 / math.sqrt(n_in * kernel**2)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=random_state)
    return nn.Sequential(layer, nn.BatchNorm2d(n_out), nn.ReLU())


def side_of(augmentation, shape):
    """Return the side of the maps that dense layers see.

    Where objects may be anywhere, one: the mean over all positions.
    """
    found = find_augmentation(augmentation, shape)
    return 1 if isinstance(found, ImageAugmentation) and found.moves else _SIDE
