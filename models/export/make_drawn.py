"""Makes a unet_cond with `frame_positions` and `draws` for the tiny pack of the tests.

    python make_drawn.py FILE

It stands in for a graph that draws its frames by itself: frame k is the picture, brighter towards the end of
the clip, by the first half of the draws (the course) in two channels and by the second half (the details) in
the others.
"""

import sys
from pathlib import Path

import onnx

TEXT = """
<ir_version: 10, opset_import: ["": 20]>
drawn (
    int64[1] fps, float[1, 4, 1, h, w] image_latents, float[B, 1, 32] image_embeddings,
    float[F] frame_positions, float[1, 64] draws
) => (float[1, 64] fps_emb, float[B, 68, 32] context, float[1, 4, F, h, w] image_latents_enc) {
    rate = Cast<to = 1>(fps)
    tenth = Constant<value_float = 0.1>()
    slow = Mul(rate, tenth)
    wave = Sin(slow)
    row = Constant<value_ints = [1, 64]>()
    fps_emb = Expand(wave, row)
    rows = Constant<value_ints = [1, 68, 1]>()
    context = Expand(image_embeddings, rows)
    quarters = Constant<value_ints = [4, 16]>()
    parted = Reshape(draws, quarters)
    last = Constant<value_ints = [1]>()
    total = ReduceSum<keepdims = 0>(parted, last)
    channels = Constant<value_ints = [1, 4, 1, 1, 1]>()
    strength = Reshape(total, channels)
    frames = Constant<value_ints = [1, 1, -1, 1, 1]>()
    place = Reshape(frame_positions, frames)
    shift = Mul(strength, place)
    image_latents_enc = Add(image_latents, shift)
}
"""


def main(file: Path) -> None:
    model = onnx.parser.parse_model(TEXT)
    model.producer_name = "kinora"
    onnx.checker.check_model(model, full_check=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
