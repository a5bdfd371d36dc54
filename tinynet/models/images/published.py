"""What the nets for large images share: their input's check."""

import numpy as np

from tinynet.shapes import ShapeError


def must_be_images(net, X, size=None):
    """Raises ShapeError unless X is (N, 3, H, W), of this size where one is given, TypeError for bytes."""
    shape = np.shape(X)         # of a list, too, as the ops take it
    if len(shape) == 4 and shape[3] == 3 != shape[1]:
        raise ShapeError(f"{net}: X {shape} looks like (N, H, W, C); turn it by X.transpose(0, 3, 1, 2)")
    if len(shape) != 4 or shape[1] != 3 or (size and shape[2:] != size):
        wanted = " x ".join(map(str, size)) if size else "any number of"
        raise ShapeError(f"{net}: X has shape {shape}, but must be (N, 3, H, W) with {wanted} pixels; "
                         "data.images.photo reads a picture so")
    if getattr(X, "dtype", None) == np.uint8:
        raise TypeError(f"{net}: X holds uint8, bytes of 0 to 255; normalise it first, data.images.normalised(X, mean, "
                        "std)")
