"""Order and relations of objects as the camera sees them, with margins: a doubtful case gives None."""

import numpy as np

_LEFT_MARGIN = 0.06  # of the image width, between centroids
_CLEARLY_NOT = 0.01
_DEPTH_MARGIN = 0.05  # m along the ground
_NEAREST_RATIO = 1.5
_NEXT_REACH = 0.28  # m between centres
_FAR_APART = 0.2  # m between two things that something stands between
_ON_THE_LINE, _OFF_THE_LINE = 0.06, 0.13  # m from the line between them


class SpatialRelations:
    """A scene's objects in camera terms: ahead and across (m along the ground), distance (m), spot (world x, y)."""

    def __init__(self, scene):
        self.width = scene.image.shape[1]
        pose = scene.camera_pose
        forward = pose[:2, 2] / max(1e-9, float(np.hypot(*pose[:2, 2])))
        fx, fy = float(forward[0]), float(forward[1])
        ex, ey, ez = pose[:3, 3].tolist()
        self.ahead, self.across, self.distance, self.spot = {}, {}, {}, {}
        for item in scene.objects:
            x, y, z = item.centre.tolist()
            self.spot[item.id] = (x, y)
            self.ahead[item.id] = (x - ex) * fx + (y - ey) * fy
            self.across[item.id] = (x - ex) * fy - (y - ey) * fx
            self.distance[item.id] = ((x - ex) ** 2 + (y - ey) ** 2 + (z - ez) ** 2) ** 0.5

    def extreme(self, order, items):
        """The one object that is clearly extreme among at least two, all seen well; None otherwise."""
        if len(items) < 2 or not all(o.queryable for o in items):
            return None
        if order in ("left", "right"):
            sign = 1.0 if order == "right" else -1.0
            return _top(items, lambda o: sign * o.centroid[0], difference=_LEFT_MARGIN * self.width)
        if order == "near":
            return _top(items, lambda o: -self.distance[o.id], difference=0.06)
        if order == "far":
            return _top(items, lambda o: self.distance[o.id], difference=0.06)
        if order == "tall":
            return _top(items, lambda o: float(o.extents[2]), ratio=1.2)
        # Real size and size in the image must agree, so that the question is not ambiguous.
        measures = (
            lambda o: float(o.extents.max()),
            lambda o: float(np.prod(o.extents)),
            lambda o: o.pixels / o.visible,
        )
        if order == "large":
            tops = [_top(items, measure, ratio=1.15) for measure in measures]
        else:
            tops = [_top(items, lambda o, m=measure: 1.0 / m(o), ratio=1.15) for measure in measures]
        return tops[0] if tops[0] is not None and all(t is tops[0] for t in tops) else None

    def related(self, relation, anchor, items):
        """The objects in a relation to the anchor; None when that is doubtful for any of them."""
        if not all(o.queryable for o in items):
            return None
        if relation == "next":
            return self._next_to(anchor, items)
        found = []
        for item in items:
            holds = (
                self._beside(relation, anchor, item)
                if relation in ("left", "right")
                else self._deeper(relation, anchor, item)
            )
            if holds is None:
                return None
            if holds:
                found.append(item)
        return found

    def between(self, first, second, item):
        """Whether an item stands between two others; None when that is doubtful."""
        a, b, spot = (np.array(self.spot[o.id]) for o in (first, second, item))
        length = float(np.hypot(*(b - a)))
        if length < _FAR_APART:
            return None
        along = float((spot - a) @ (b - a)) / length**2
        aside = float(np.hypot(*(spot - a - along * (b - a))))
        if 0.25 <= along <= 0.75 and aside < _ON_THE_LINE:
            return True
        return None if 0.0 < along < 1.0 and aside < _OFF_THE_LINE else False

    def _beside(self, relation, anchor, item):
        du = item.centroid[0] - anchor.centroid[0]
        if relation == "left":
            du = -du
        if du < _CLEARLY_NOT * self.width:
            return False if du < -_CLEARLY_NOT * self.width else None
        clear = du > _LEFT_MARGIN * self.width and du > 0.7 * abs(item.centroid[1] - anchor.centroid[1])
        return True if clear else None

    def _deeper(self, relation, anchor, item):
        ahead = self.ahead[item.id] - self.ahead[anchor.id]
        if relation == "front":
            ahead = -ahead
        if ahead < 0.02:
            return False if ahead < -0.02 else None
        clear = ahead > _DEPTH_MARGIN and ahead > 0.8 * abs(self.across[item.id] - self.across[anchor.id])
        return True if clear else None

    def _next_to(self, anchor, items):
        x, y = self.spot[anchor.id]
        near = sorted((((self.spot[o.id][0] - x) ** 2 + (self.spot[o.id][1] - y) ** 2) ** 0.5, o.id, o) for o in items)
        if not near or near[0][0] > _NEXT_REACH or (len(near) > 1 and near[1][0] < _NEAREST_RATIO * near[0][0]):
            return None
        return [near[0][2]]


def _top(items, measure, difference=0.0, ratio=1.0):
    """The item of the highest measure if it leads the second by this much; None otherwise."""
    order = sorted(((measure(o), o.id, o) for o in items), key=lambda entry: entry[:2])
    first, second = order[-1][0], order[-2][0]
    return order[-1][2] if first - second >= difference and first >= ratio * second else None
