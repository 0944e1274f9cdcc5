"""Where the files of one scan lie, by ScanNet's names."""

from dataclasses import dataclass
from pathlib import Path

from lisa_ros.errors import RecordingError

LABELS = "scannetv2-labels.combined.tsv"


@dataclass(frozen=True)
class SceneFiles:
    """Files of a scan. Those of the annotation need not exist; opening them raises an error."""

    scene: str
    sens: Path
    instances: Path
    labels: Path
    aggregation: Path
    label_table: Path

    @classmethod
    def find(cls, path: Path | str, label_table: Path | str | None = None) -> "SceneFiles":
        """The scan of a `.sens` file, or of a folder named as the scene that holds it.

        The filtered images (`_2d-instance-filt.zip`) are taken where both exist, and a zip before the folder that it
        was unpacked to: `instance-filt`, as the zip has it, or one of the zip's name. label_table: the tsv, by default
        looked for beside the scan and in the two folders above. Raises RecordingError where there is no such `.sens`
        file.
        """
        path = Path(path)
        sens = path / f"{path.absolute().name}.sens" if path.is_dir() else path
        if not sens.is_file():
            raise RecordingError(f"there is no {sens}; give SCENE/SCENE.sens or its folder")
        folder, scene = sens.parent, sens.stem
        return cls(
            scene,
            sens,
            _images(folder, scene, "instance"),
            _images(folder, scene, "label"),
            folder / f"{scene}.aggregation.json",
            Path(label_table) if label_table else _find_above(folder, LABELS),
        )


def _images(folder: Path, scene: str, kind: str) -> Path:
    places = [
        place
        for name in (f"{kind}-filt", kind)
        for place in (folder / f"{scene}_2d-{name}.zip", folder / f"{scene}_2d-{name}", folder / name)
    ]
    return next((place for place in places if place.exists()), places[0])


def _find_above(folder: Path, name: str) -> Path:
    places = [folder, *folder.absolute().parents[:2]]
    return next((place / name for place in places if (place / name).is_file()), folder / name)
