/**
 * What flies through clips of a plain grey picture: how many particles there are, and where they go. Knows no model.
 */

/** A grey that snow, embers and leaves all differ from. */
export const plainGrey = 96;
/** Of 255: from here on a pixel belongs to a particle rather than to what lies over all of the picture. */
const visible = 10;
/** Pixels between two frames; what moves faster is not followed. */
const reach = 14;

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** How much each pixel differs from its frame's median brightness, 0 where that is little. */
export function differences(frame: Uint8Array, { width, height }: Size): Float64Array {
  const light = Float64Array.from({ length: width * height }, (_, i) =>
    [0, 1, 2].reduce((sum, channel) => sum + (frame[3 * i + channel] ?? 0) / 3, 0),
  );
  const middle = light.toSorted()[light.length >> 1] ?? 0;
  return light.map((value) => (Math.abs(value - middle) < visible ? 0 : Math.abs(value - middle)));
}

/** Groups of touching pixels. */
export function count(map: Float64Array, { width, height }: Size): number {
  const seen = new Uint8Array(map.length);
  let groups = 0;
  for (let start = 0; start < map.length; start++) {
    if (seen[start] || map[start] === 0) continue;
    groups++;
    const open = [start];
    seen[start] = 1;
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      const [x, y] = [at % width, Math.floor(at / width)];
      for (const [i, j] of [
        [x - 1, y],
        [x + 1, y],
        [x, y - 1],
        [x, y + 1],
      ] as const) {
        const next = j * width + i;
        if (i < 0 || j < 0 || i >= width || j >= height || seen[next] || map[next] === 0) continue;
        seen[next] = 1;
        open.push(next);
      }
    }
  }
  return groups;
}

/** Pixels by which particles move between neighbouring maps, to the right and down: where all pairs agree best. */
export function drift(maps: readonly Float64Array[], { width, height }: Size): readonly [number, number] {
  const side = 2 * reach + 1;
  const sums = new Float64Array(side * side);
  for (const [k, map] of maps.slice(0, -1).entries()) {
    const next = maps[k + 1] ?? map;
    for (let at = 0; at < map.length; at++) {
      const value = map[at] ?? 0;
      if (value === 0) continue;
      const [x, y] = [at % width, Math.floor(at / width)];
      if (x < reach || y < reach || x >= width - reach || y >= height - reach) continue;
      for (let dy = -reach; dy <= reach; dy++) {
        for (let dx = -reach; dx <= reach; dx++) {
          const there = next[at + dy * width + dx] ?? 0;
          const cell = (dy + reach) * side + dx + reach;
          sums[cell] = (sums[cell] ?? 0) + value * there;
        }
      }
    }
  }
  // Around the middle of what agrees well: layers move at different speeds.
  const most = Math.max(...sums);
  let [x, y, weight] = [0, 0, 0];
  sums.forEach((sum, cell) => {
    const part = Math.max(0, sum - 0.6 * most);
    x += part * ((cell % side) - reach);
    y += part * (Math.floor(cell / side) - reach);
    weight += part;
  });
  return weight === 0 ? [0, 0] : [x / weight, y / weight];
}

/** Of streaks: -1 where they lean like \, 1 like /, by the gradients of a frame. */
export function lean(map: Float64Array, { width, height }: Size): number {
  let [xy, all] = [0, 0];
  for (let y = 1; y < height - 1; y++) {
    for (let x = 1; x < width - 1; x++) {
      const at = y * width + x;
      const gx = (map[at + 1] ?? 0) - (map[at - 1] ?? 0);
      const gy = (map[at + width] ?? 0) - (map[at - width] ?? 0);
      xy += gx * gy;
      all += gx * gx + gy * gy;
    }
  }
  return all === 0 ? 0 : (2 * xy) / all;
}
