// @ts-nocheck: gets its types with the protocol of the session thread
// Frames out of a volume, for decoders that know single frames only, and into one. Plain JavaScript: it runs in the
// session thread, too. Types in frames.d.mts.

export function takeFrames(volume, dims, { first, count, factor }) {
  const [, channels, numFrames, height, width] = dims;
  const plane = height * width;
  const data = new Float32Array(count * channels * plane);
  for (let target = 0; target < data.length; target += plane) {
    const row = target / plane;
    const source = ((row % channels) * numFrames + first + Math.floor(row / channels)) * plane;
    for (let i = 0; i < plane; i += 1) data[target + i] = volume[source + i] * factor;
  }
  return { data, dims: [count, channels, height, width] };
}

export function setFrame(volume, dims, index, frame) {
  const [, channels, numFrames] = dims;
  const plane = frame.length / channels;
  for (let c = 0; c < channels; c += 1) {
    volume.set(frame.subarray(c * plane, (c + 1) * plane), (c * numFrames + index) * plane);
  }
}
