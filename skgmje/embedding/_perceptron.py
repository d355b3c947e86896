"""Linear maps, batch normalisations and ReLU units. Imports torch: import it late."""

import torch
from torch import nn

from skgmje.modules import mlp


def normalised_relu(width):
    """Return what stands behind a linear map: a batch normalisation and ReLU units."""
    return [nn.BatchNorm1d(width), nn.ReLU()]


def hidden_layers(sizes, random_state):
    """Return hidden layers: linear maps, batch normalisations and ReLU units.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the input and the hidden layers.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    Returns
    -------
    layers : list of nn.Module
        The last are ReLU units.
    """
    linear = [m for m in mlp(sizes, random_state) if isinstance(m, nn.Linear)]
    return [part for m in linear for part in (m, *normalised_relu(m.out_features))]


def perceptron_layers(sizes, random_state):
    """Return the layers of a perceptron with batch normalisation before its ReLUs.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the input, the hidden layers and the output.

    random_state : torch.Generator
        The source of randomness, on the CPU.

    Returns
    -------
    layers : list of nn.Module
        From the first linear map to the last.
    """
    return hidden_layers(sizes, random_state)[:-2]


class Perceptron(nn.Sequential):
    """Hidden layers, each of a linear map, batch normalisation and ReLU units.

    What comes in is normalised too: augmented rows have other variances than
    rows.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the input and the hidden layers.

    random_state : torch.Generator
        The source of randomness, on the CPU.
    """

    def __init__(self, sizes, random_state):
        layers = hidden_layers(sizes, random_state)
        super().__init__(nn.BatchNorm1d(sizes[0], affine=False), *layers)
        self.width = sizes[-1]

    def multi(self, X):
        """Return all hidden layers side by side."""
        found = []
        for layer in self:
            X = layer(X)
            if isinstance(layer, nn.ReLU):
                found.append(X)
        return torch.cat(found, dim=1)
