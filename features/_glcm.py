"""pyradiomics' GLCM features, from the entries of its matrix that are not zero.

Formulas: pyradiomics' documentation of the class. Whatever is linear in the matrix and depends
on the difference or sum of two levels comes from the matrix' sums along its diagonals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features._region import (
    EPS,
    NEIGHBOURS,
    Features,
    Floats,
    Region,
    c_code,
    entropy_of,
    prepare,
    scalar,
)

_RANK_ONE = 1e-4
"""Less than this is left of an angle's GLCM when independence is taken off: mutual information,
bits, or the second eigenvalue. Rounding may then show, see ``_imc2`` and ``_mcc``."""


def glcm(region: Region) -> Features:
    """The features of the class, by pyradiomics' names."""
    P = _matrix(region)
    n, _, n_angles = P.shape

    # Entry by entry; most of the matrix is empty.
    entries = np.flatnonzero(P)
    p = P.reshape(-1)[entries]
    pair, angle = np.divmod(entries, n_angles)
    row, column = np.divmod(pair, n)
    i, j = region.present[row], region.present[column]

    px = P.sum(axis=1)  # (n, angles); by symmetry also the other marginal
    several = np.count_nonzero(px, axis=0) > 1
    level = region.present[:, None]
    mean = (level * px).sum(axis=0)
    variance = ((level - mean) ** 2 * px).sum(axis=0)
    deviations = (i - mean[angle]) * (j - mean[angle]) * p
    covariance = _sums(angle, deviations, n_angles)
    correlation = np.where(variance == 0, 1, covariance / (variance + EPS))

    Ng = int(region.present[-1])
    p_sum = _marginal(i + j, angle, p, 2 * Ng + 1, n_angles)
    p_difference = _marginal(np.abs(i - j), angle, p, Ng, n_angles)
    from_mean = np.arange(2 * Ng + 1)[:, None] - 2 * mean
    squared = from_mean**2
    k = np.arange(Ng, dtype=float)
    difference_average = k @ p_difference
    spread = p_difference * (k[:, None] - difference_average) ** 2
    mean_difference = p_difference.sum(axis=1) / n_angles

    joint_entropy = -_sums(angle, p * np.log2(p + EPS), n_angles)
    entropy = -(px * np.log2(px + EPS)).sum(axis=0)
    apart = -_sums(angle, p * np.log2(px[row, angle] * px[column, angle] + EPS), n_angles)
    information = np.divide(
        joint_entropy - apart, entropy, out=np.zeros(n_angles), where=entropy != 0
    )
    return {
        "Autocorrelation": (i * j * p).sum() / n_angles,
        "ClusterProminence": (squared**2 * p_sum).sum() / n_angles,
        "ClusterShade": (squared * from_mean * p_sum).sum() / n_angles,
        "ClusterTendency": (squared * p_sum).sum() / n_angles,
        "Contrast": k**2 @ mean_difference,
        "Correlation": correlation.sum() / n_angles,
        "DifferenceAverage": difference_average.sum() / n_angles,
        "DifferenceEntropy": entropy_of(p_difference).sum() / n_angles,
        "DifferenceVariance": spread.sum() / n_angles,
        "Id": (mean_difference / (1 + k)).sum(),
        "Idm": (mean_difference / (1 + k**2)).sum(),
        "Idmn": (mean_difference / (1 + k**2 / Ng**2)).sum(),
        "Idn": (mean_difference / (1 + k / Ng)).sum(),
        "Imc1": information.sum() / n_angles,
        # The entropy of independent marginals is the sum of theirs.
        "Imc2": _imc2(P, region, 2 * entropy - joint_entropy, several),
        "InverseVariance": (mean_difference[1:] / k[1:] ** 2).sum(),
        "JointAverage": mean.sum() / n_angles,
        "JointEnergy": (p**2).sum() / n_angles,
        "JointEntropy": joint_entropy.sum() / n_angles,
        "MCC": _mcc(P, region, px, several),
        "MaximumProbability": P.max(axis=(0, 1)).sum() / n_angles,
        "SumAverage": 2 * mean.sum() / n_angles,
        "SumEntropy": entropy_of(p_sum).sum() / n_angles,
        "SumSquares": variance.sum() / n_angles,
    }


def _matrix(region: Region) -> Floats:
    """Shape (n, n, angles), symmetric; each angle that has pairs adds up to 1."""
    n = len(region.present)
    P: Floats = c_code("_cmatrices").calculate_glcm(
        region.ranks, region.mask, NEIGHBOURS, n, *region.in_plane
    )[0][0]
    P = P + P.transpose(1, 0, 2)
    total = P.sum(axis=(0, 1))
    if not total.any():
        raise ValueError("no two voxels of the mask are neighbours; GLCM needs a pair")
    return np.asarray(P[:, :, total > 0] / total[total > 0])


def _marginal(k: Floats, angle: NDArray[np.int64], p: Floats, size: int, n_angles: int) -> Floats:
    """Sums of p by k and angle, shape (size, angles)."""
    place = k.astype(np.int64) * n_angles + angle
    return _sums(place, p, size * n_angles).reshape(size, n_angles)


def _sums(groups: NDArray[np.int64], weights: Floats, n_groups: int) -> Floats:
    return np.asarray(np.bincount(groups, weights, n_groups), dtype=np.float64)


def _imc2(P: Floats, region: Region, mutual: Floats, several: NDArray[np.bool_]) -> float:
    """Informational measure of correlation 2, (1 - exp(-2 (HXY2 - HXY)))^(1/2).

    ``mutual`` is HXY2 - HXY, which is 0 for angles without ``several`` levels. Where an angle
    has next to none, rounding makes the root, which may not be a number, and that pyradiomics
    leaves out of the mean; its own method decides there.
    """
    if (mutual[several] < _RANK_ONE).any():
        return _by_pyradiomics(P, region, "Imc2")
    return float(np.sqrt(1 - np.exp(-2 * mutual[several])).sum() / len(several))


def _mcc(P: Floats, region: Region, px: Floats, several: NDArray[np.bool_]) -> float:
    """Maximal correlation coefficient: root of the second largest eigenvalue of Q.

    Q(i, j) = sum over k of p(i, k) p(j, k) / (px(i) px(k) + eps) has the eigenvalues of the
    square of the symmetric p(i, k) / (px(i) px(k) + eps)^(1/2), to first order in eps exactly,
    and symmetric matrices are solved several times faster.
    Where the second is next to nothing its sign is rounding, and pyradiomics leaves the root of
    a negative one out of the mean; its own method decides there.
    """
    if len(px) < 2:
        return 1.0
    by_angle = P.transpose(2, 0, 1)
    marginal = px.T
    scale = np.sqrt(marginal[:, :, None] * marginal[:, None, :] + EPS)
    eigenvalues = np.linalg.eigvalsh(by_angle / scale) ** 2
    eigenvalues.sort(axis=1)
    second = eigenvalues[:, -2]
    if (second[several] < _RANK_ONE).any():
        return _by_pyradiomics(P, region, "MCC")
    return float(np.sqrt(second[several]).sum() / len(several))


def _by_pyradiomics(P: Floats, region: Region, name: str) -> float:
    from radiomics.glcm import RadiomicsGLCM

    n = len(region.present)
    coefficients = {"Ng": n, "grayLevels": np.arange(1, n + 1)}
    own = prepare(RadiomicsGLCM, P_glcm=P[None], coefficients=coefficients)
    own._calculateCoefficients()
    return scalar(own, name)
