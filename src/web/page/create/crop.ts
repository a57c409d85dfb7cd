/** The frame of a crop: how it is moved and resized, with or without a fixed shape. Boxes are parts of the picture. */
import type { Box } from './draft.ts';

/** Which sides of the frame a drag takes along: -1 the left or upper one, 1 the right or lower one. */
export interface Grip {
  readonly x: -1 | 0 | 1;
  readonly y: -1 | 0 | 1;
}

export const grips: readonly Grip[] = [
  { x: -1, y: -1 },
  { x: 1, y: -1 },
  { x: 1, y: 1 },
  { x: -1, y: 1 },
];

const smallest = 0.05;
const clamp = (value: number, min: number, max: number): number => Math.min(Math.max(value, min), max);

export function move(box: Box, byX: number, byY: number): Box {
  return { ...box, x: clamp(box.x + byX, 0, 1 - box.width), y: clamp(box.y + byY, 0, 1 - box.height) };
}

/**
 * @param shape width by height of the frame, both as parts of the picture's; undefined leaves it free
 */
export function resize(box: Box, grip: Grip, byX: number, byY: number, shape: number | undefined): Box {
  const anchorX = grip.x < 0 ? box.x + box.width : box.x;
  const anchorY = grip.y < 0 ? box.y + box.height : box.y;
  const mostWidth = grip.x < 0 ? anchorX : 1 - anchorX;
  const mostHeight = grip.y < 0 ? anchorY : 1 - anchorY;
  let width = clamp(box.width + byX * grip.x, smallest, mostWidth);
  let height = clamp(box.height + byY * grip.y, smallest, mostHeight);
  if (shape !== undefined) {
    // The side that was drawn farther decides, as far as there is room.
    const wanted = Math.abs(byX) >= Math.abs(byY * shape) ? width : height * shape;
    width = clamp(wanted, smallest, Math.min(mostWidth, mostHeight * shape));
    height = width / shape;
  }
  return {
    x: grip.x < 0 ? anchorX - width : anchorX,
    y: grip.y < 0 ? anchorY - height : anchorY,
    width,
    height,
  };
}

/** The largest frame of a shape about the middle of another. */
export function ofShape(box: Box, shape: number | undefined): Box {
  if (shape === undefined) return box;
  const width = Math.min(1, shape);
  const height = width / shape;
  const middleX = box.x + box.width / 2;
  const middleY = box.y + box.height / 2;
  return move({ x: 0, y: 0, width, height }, middleX - width / 2, middleY - height / 2);
}
