"""Which pixels of an axial CT image are the patient? Compiled passes over runs; see ``water_equivalent``.

A run is a stretch of a row on one side of the threshold. Connected components are found by joining runs of neighbouring
rows, so that the work grows with the contour of what is there and not with its area. Lengths here are in pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

OUTSIDE, BODY, RING = 0, 1, 2
_compiled: Any = njit(cache=True, nogil=True)


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def runs_above(image: Any, threshold: float) -> Any:
    """Return the runs of ``image > threshold``: start, stop (exclusive), and where each row's runs begin."""
    rows, columns = image.shape
    start = np.empty(rows * (columns // 2 + 1), np.int32)
    stop = np.empty_like(start)
    first = np.empty(rows + 1, np.int32)
    count = 0
    for y in range(rows):
        first[y] = count
        inside = False
        for x in range(columns):
            if (image[y, x] > threshold) != inside:
                if inside:
                    stop[count] = x
                    count += 1
                else:
                    start[count] = x
                inside = not inside
        if inside:
            stop[count] = columns
            count += 1
    first[rows] = count
    return start[:count], stop[:count], first


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def components(start: Any, stop: Any, first: Any, reach: int) -> Any:
    """Return the component of each run, named by its first run.

    ``reach`` is 1 where pixels that touch at a corner belong together (the patient), 0 where they don't (the air).
    """
    count = start.size
    parent = np.arange(count, dtype=np.int32)
    for y in range(1, first.size - 1):
        above, end = first[y - 1], first[y]
        for run in range(first[y], first[y + 1]):
            while above < end and stop[above] + reach <= start[run]:
                above += 1
            other = above
            while other < end and start[other] < stop[run] + reach:
                a, b = run, other
                while parent[a] != a:
                    parent[a] = parent[parent[a]]
                    a = parent[a]
                while parent[b] != b:
                    parent[b] = parent[parent[b]]
                    b = parent[b]
                if a < b:
                    parent[b] = a
                else:
                    parent[a] = b
                other += 1
    for run in range(count):  # a parent comes before its child, so one pass reaches the root
        parent[run] = parent[parent[run]]
    return parent


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def parts(start: Any, stop: Any, first: Any, root: Any, smallest: float, columns: int) -> Any:
    """Return the components of at least ``smallest`` pixels: root, pixels, mean height, mean length, width, mean row.

    Height and length are between the outermost pixels of a column and of a row, so that lungs don't thin a chest.
    """
    count = start.size
    area = np.zeros(count)
    for run in range(count):
        area[root[run]] += stop[run] - start[run]
    slot = np.full(count, -1, np.int32)
    number = 0
    for one in range(count):
        if area[one] >= smallest:
            slot[one] = number
            number += 1
    result = np.zeros((number, 6))
    top = np.full((number, columns), -1, np.int32)
    bottom = np.full((number, columns), -1, np.int32)
    row_left = np.full(number, -1, np.int32)
    row_right = np.zeros(number, np.int32)
    lines = np.zeros(number)
    for y in range(first.size - 1):
        row_left[:] = -1
        for run in range(first[y], first[y + 1]):
            one = slot[root[run]]
            if one >= 0:
                length = stop[run] - start[run]
                result[one, 0] = root[run]
                result[one, 1] += length
                result[one, 5] += y * length
                if row_left[one] < 0:
                    row_left[one] = start[run]
                row_right[one] = stop[run]
                for x in range(start[run], stop[run]):
                    if top[one, x] < 0:
                        top[one, x] = y
                    bottom[one, x] = y
        for one in range(number):
            if row_left[one] >= 0:
                result[one, 3] += row_right[one] - row_left[one]
                lines[one] += 1
    for one in range(number):
        seen, left, right = 0, -1, 0
        for x in range(columns):
            if top[one, x] >= 0:
                result[one, 2] += bottom[one, x] - top[one, x] + 1
                seen += 1
                left = x if left < 0 else left
                right = x
        result[one, 2] /= seen
        result[one, 3] /= lines[one]
        result[one, 4] = right - left + 1
        result[one, 5] /= result[one, 1]
    return result


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def column_extent(body: Any, gap: int) -> Any:
    """Return of each column: topmost row of the body, lowest row, and the top of its lowest stretch; -1 where none.

    A stretch ends at ``gap`` pixels without body; fewer are noise.
    """
    rows, columns = body.shape
    top = np.full(columns, -1, np.int32)
    bottom = np.full(columns, -1, np.int32)
    lowest_top = np.full(columns, -1, np.int32)
    empty = np.zeros(columns, np.int32)
    for y in range(rows - 1, -1, -1):
        for x in range(columns):
            if body[y, x] == BODY:
                if bottom[x] < 0:
                    bottom[x] = y
                top[x] = y
                empty[x] = 0
            elif bottom[x] >= 0 and lowest_top[x] < 0:
                empty[x] += 1
                if empty[x] == gap:
                    lowest_top[x] = y + gap
    for x in range(columns):
        if lowest_top[x] < 0:
            lowest_top[x] = top[x]
    return top, bottom, lowest_top


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def cut_below(body: Any, cut: Any) -> None:
    """Take away what lies on or below the row ``cut`` of each column."""
    rows, columns = body.shape
    for y in range(rows):
        for x in range(columns):
            if y > cut[x] - 0.5:
                body[y, x] = OUTSIDE


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def paint(shape: Any, start: Any, stop: Any, first: Any, root: Any, keep: Any) -> Any:
    """Return an image of the kept components."""
    body = np.zeros(shape, np.uint8)
    for y in range(first.size - 1):
        for run in range(first[y], first[y + 1]):
            if keep[root[run]]:
                body[y, start[run] : stop[run]] = BODY
    return body


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def fill(body: Any) -> None:
    """Make the air that the body encloses (lungs, bowel gas) part of it."""
    rows, columns = body.shape
    start = np.empty(rows * (columns // 2 + 1), np.int32)
    stop = np.empty_like(start)
    first = np.empty(rows + 1, np.int32)
    count = 0
    for y in range(rows):
        first[y] = count
        x = 0
        while x < columns:
            if body[y, x] == OUTSIDE:
                start[count] = x
                while x < columns and body[y, x] == OUTSIDE:
                    x += 1
                stop[count] = x
                count += 1
            else:
                x += 1
    first[rows] = count
    root = components(start[:count], stop[:count], first, 0)
    open_air = np.zeros(count, np.uint8)
    for y in range(rows):
        for run in range(first[y], first[y + 1]):
            if y == 0 or y == rows - 1 or start[run] == 0 or stop[run] == columns:
                open_air[root[run]] = 1
    for y in range(rows):
        for run in range(first[y], first[y + 1]):
            if not open_air[root[run]]:
                body[y, start[run] : stop[run]] = BODY


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def outline(body: Any, ends: Any, step: int, margin: int) -> Any:
    """Return x and y where the body begins or ends along every ``step``-th row and column, half way between pixels.

    Places within ``margin`` pixels of the edge of the view are left out; ``ends`` is where it begins and ends by row.
    """
    rows, columns = body.shape
    points = np.empty((2, 2 * rows * columns // step + rows + columns))
    count = 0
    for y in range(margin, rows - margin):
        begin = max(ends[y - margin, 0], ends[y, 0], ends[y + margin, 0]) + margin
        end = min(ends[y - margin, 1], ends[y, 1], ends[y + margin, 1]) - margin
        first = max(1, int(np.ceil(begin)))
        last = min(columns, int(end))
        if y % step == 0:
            for x in range(first, last):
                if (body[y, x] == BODY) != (body[y, x - 1] == BODY):
                    points[0, count], points[1, count] = x - 0.5, y
                    count += 1
        for x in range(first + (-first) % step, last, step):
            if (body[y, x] == BODY) != (body[y - 1, x] == BODY):
                points[0, count], points[1, count] = x, y - 0.5
                count += 1
    return points[:, :count]


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def view(image: Any, padding: float) -> Any:
    """Return for each row where the field of view begins and ends (exclusive): what is not below ``padding``."""
    rows, columns = image.shape
    ends = np.zeros((rows, 2))
    for y in range(rows):
        begin = 0
        while begin < columns and image[y, begin] < padding:
            begin += 1
        end = columns
        while end > begin and image[y, end - 1] < padding:
            end -= 1
        ends[y, 0], ends[y, 1] = begin, end
    return ends


@_compiled  # type: ignore[untyped-decorator, unused-ignore]
def totals(image: Any, body: Any, threshold: float, padding: float, metal: float, circle: float) -> Any:
    """Return sums over the body and a ring of two pixels around it, which holds what its blurred edge lost.

    The result is: pixels of the body, pixels of body and ring, their sum of stored values, metal pixels and their sum,
    contour pixels, and contour pixels where the field of view cuts the body. ``circle`` is the radius (pixels) of the
    reconstructed field, 0 where it is the whole image. Pixels below ``padding`` are outside the field.
    """
    rows, columns = body.shape
    pixels = ring = metals = contour = cut = 0
    total = metal_total = 0.0
    middle_x, middle_y = (columns - 1) / 2, (rows - 1) / 2
    limit = circle * circle
    for y in range(rows):
        for x in range(columns):
            if body[y, x] != BODY:
                continue
            value = image[y, x]
            pixels += 1
            total += value
            if value > metal:
                metals += 1
                metal_total += value
            edge = False
            at_border = x == 0 or y == 0 or x == columns - 1 or y == rows - 1
            if not at_border:
                for side in range(4):
                    step_x = (1, -1, 0, 0)[side]
                    step_y = (0, 0, 1, -1)[side]
                    if body[y + step_y, x + step_x] == BODY:
                        continue
                    edge = True
                    if image[y + step_y, x + step_x] < padding:
                        at_border = True
                        continue
                    for far in range(1, 3):
                        ring_y, ring_x = y + far * step_y, x + far * step_x
                        if not (0 <= ring_y < rows and 0 <= ring_x < columns) or body[ring_y, ring_x] == BODY:
                            break
                        near = image[ring_y, ring_x]
                        if near > threshold or near < padding:
                            break
                        if body[ring_y, ring_x] == OUTSIDE:
                            body[ring_y, ring_x] = RING
                            ring += 1
                            total += near
            if edge and not at_border and limit > 0:
                at_border = (x - middle_x) ** 2 + (y - middle_y) ** 2 > limit
            if edge or at_border:
                contour += 1
                if at_border:
                    cut += 1
    return pixels, pixels + ring, total, metals, metal_total, contour, cut
