"""The ROI contract: what a dataset may leave out of a record."""

from __future__ import annotations

import pickle
from copy import deepcopy

from benchmark.roi import RoiRecord


def test_a_record_without_attributes_goes_to_workers_and_models() -> None:
    """Both copy it; plug-ins of one file often give no attributes."""
    record = RoiRecord("a", "p", None, (4, 5))
    assert pickle.loads(pickle.dumps(record)) == deepcopy(record) == record
    assert RoiRecord("b", "p", 1).attributes is not record.attributes
