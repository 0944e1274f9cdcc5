"""Target clouds as files: .ply for other programs, .png for people."""

from pathlib import Path

import numpy as np

from lisa_ros.errors import ConfigurationError

_SHOWN = 6000
_REACH = 0.22  # m around the target that is drawn
_BOX = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if np.abs(_BOX[a] - _BOX[b]).sum() == 1]
_ORANGE = "#ff7a00"


def write_ply(path: Path, points: np.ndarray, colors: np.ndarray):
    """points: (N, 3) float m. colors: (N, 3) uint8 RGB. Raises ConfigurationError where it cannot be written."""
    import open3d

    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points.astype(np.float64)))
    cloud.colors = open3d.utility.Vector3dVector(colors / 255.0)
    if not open3d.io.write_point_cloud(str(path), cloud):
        raise ConfigurationError(f"cannot write {path}")


def draw_cloud(path: Path, cloud, scene_cloud, boxes, camera_pose: np.ndarray):
    """Draws the target's points with what surrounds them, and the targets' boxes, in the world's axes.

    cloud, scene_cloud, boxes: two `PointCloud`s and `TargetLocation`s of `lisa_ros.client`, in the camera's optical
    frame. camera_pose: (4, 4) world <- optical frame.
    """
    from matplotlib.figure import Figure

    target = _moved(cloud.points, camera_pose)
    low, high = target.min(axis=0), target.max(axis=0)
    centre, reach = (low + high) / 2, max(_REACH, 0.75 * float((high - low).max()))
    around = _moved(scene_cloud.points, camera_pose)
    near = (np.abs(around - centre) < reach).all(axis=1)
    figure = Figure(figsize=(5.4, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    _scatter(axes, around[near], scene_cloud.colors[near], size=4, alpha=0.55)
    _scatter(axes, target, cloud.colors, size=5, alpha=1.0)
    for box in boxes:
        corners = _moved(_moved(_BOX * box.extents, box.pose), camera_pose)
        for edge in _EDGES:
            axes.plot(*corners[list(edge)].T, color=_ORANGE, linewidth=1.6)
    heights = np.concatenate([target[:, 2], around[near][:, 2]])
    low, high = centre - reach, centre + reach
    low[2], high[2] = heights.min() - 0.01, heights.max() + 0.05
    for axis, start, end in zip("xyz", low, high, strict=True):
        axes.set(**{f"{axis}lim": (start, end)})
        getattr(axes, f"set_{axis}label")(f"{axis}, m", fontsize=8)
    axes.set_box_aspect(high - low)
    axes.tick_params(labelsize=7)
    towards = camera_pose[:3, 3] - centre
    axes.view_init(elev=30, azim=np.degrees(np.arctan2(towards[1], towards[0])) + 25)
    size = " · ".join(" × ".join(f"{100 * side:.1f}" for side in box.extents) + " cm" for box in boxes)
    axes.set_title(f"{len(cloud.points)} points" + (f", box {size}" if size else ""), fontsize=9)
    figure.savefig(path)


def _moved(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return points @ pose[:3, :3].T + pose[:3, 3]


def _scatter(axes, points: np.ndarray, colors: np.ndarray, size: float, alpha: float):
    step = max(1, -(-len(points) // _SHOWN))
    axes.scatter(*points[::step].T, c=colors[::step] / 255.0, s=size, alpha=alpha, linewidths=0)
