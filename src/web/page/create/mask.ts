/** What a person painted over a picture to say what may move: strokes of a brush, drawn over it and as the file that is sent. */
export interface Point {
  /** Parts of the picture's width and height, from 0 to 1. */
  readonly x: number;
  readonly y: number;
}

export interface Stroke {
  readonly isErasing: boolean;
  /** Width of the brush, as a part of the picture's shorter side. */
  readonly width: number;
  readonly points: readonly Point[];
}

/** Draws the strokes over what is transparent. */
export function drawStrokes(canvas: HTMLCanvasElement, strokes: readonly Stroke[], colour: string): void {
  const context = canvas.getContext('2d');
  if (!context) return;
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  context.lineCap = 'round';
  context.lineJoin = 'round';
  context.strokeStyle = colour;
  for (const stroke of strokes) {
    context.globalCompositeOperation = stroke.isErasing ? 'destination-out' : 'source-over';
    context.lineWidth = stroke.width * Math.min(width, height);
    context.beginPath();
    for (const { x, y } of stroke.points) context.lineTo(x * width, y * height);
    // A line of no length is a dot.
    const [only] = stroke.points;
    if (only && stroke.points.length === 1) context.lineTo(only.x * width, only.y * height);
    context.stroke();
  }
  context.globalCompositeOperation = 'source-over';
}

/** Sharp enough: the border between moving and still is soft. */
const longestMask = 768;

/** White where the strokes are, black elsewhere, in the shape of the picture; undefined where nothing is painted. */
export async function maskOf(
  strokes: readonly Stroke[],
  { width, height }: Pick<ImageBitmap, 'width' | 'height'>,
): Promise<Blob | undefined> {
  if (strokes.length === 0) return undefined;
  const scale = Math.min(1, longestMask / Math.max(width, height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  drawStrokes(canvas, strokes, '#fff');
  const context = canvas.getContext('2d');
  if (!context) return undefined;
  context.globalCompositeOperation = 'destination-over';
  context.fillStyle = '#000';
  context.fillRect(0, 0, canvas.width, canvas.height);
  return await new Promise((resolve) => canvas.toBlob((made) => resolve(made ?? undefined), 'image/png'));
}
