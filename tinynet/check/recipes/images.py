"""Recipes of the blocks in blocks/images."""


def batch_norm(valve, x, gain, bias, eps=1e-5):
    axes = (0, *range(2, x.ndim))                       # all but the channels
    channels = (1, -1, *(1,) * (x.ndim - 2))
    centred = x - valve("the mean", x.mean(axis=axes, keepdims=True))
    variance = valve("the variance", (centred * centred).mean(axis=axes, keepdims=True))
    return gain.reshape(*channels) * (centred / (variance + eps).sqrt()) + bias.reshape(*channels)


RECIPES = (batch_norm,)
