"""The graphs of a pack as torch modules with the exact inputs and outputs that Kinora feeds and reads.

The UNet is cut in two: `UnetCond` holds what depends on neither text nor timestep and runs once per picture,
`UnetCore` runs once per step. B is the number of rows of the context: one per text, so two with
classifier-free guidance. All else is the same for every row, comes in once and is repeated where the rows
begin to differ.

Knows nothing of files.
"""

import torch
from diffusers import AutoencoderKL, I2VGenXLUNet
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPVisionModelWithProjection

from rewrite import adaptive_avg_pool, repeat_clip, repeat_over_frames


class TextEncoder(nn.Module):
    """input_ids int64 (n, T) -> prompt_embeds (n, T, D).

    As the pipeline computes it with its default clip_skip=1: the output of the last layer but one, then the
    final LayerNorm. The last layer is not exported.
    """

    def __init__(self, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        text = text_transformer(text_encoder)
        self.embeddings, self.final_layer_norm = text.embeddings, text.final_layer_norm
        self.layers = text.encoder.layers[:-1]
        tokens = text_encoder.config.max_position_embeddings
        causal = torch.full((tokens, tokens), torch.finfo(torch.float32).min).triu(1)
        self.register_buffer("causal", causal[None, None], persistent=False)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden_states = self.embeddings(input_ids=input_ids)
        for layer in self.layers:
            output = layer(hidden_states, attention_mask=self.causal, causal_attention_mask=None)
            hidden_states = (
                output[0] if isinstance(output, tuple) else output
            )  # a tuple before transformers 5
        return self.final_layer_norm(hidden_states)


def text_transformer(text_encoder: CLIPTextModel) -> nn.Module:
    """The part of a CLIPTextModel with the layers: `text_model` before transformers 5, itself since then."""
    return getattr(text_encoder, "text_model", text_encoder)


class ImageEncoder(nn.Module):
    """pixel_values (1, 3, S, S) -> image_embeds (1, D)."""

    def __init__(self, image_encoder: CLIPVisionModelWithProjection) -> None:
        super().__init__()
        self.image_encoder = image_encoder

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.image_encoder(pixel_values).image_embeds


class VaeEncoder(nn.Module):
    """sample (1, 3, H, W) in [-1, 1] -> moments (1, 2C, h, w): mean, then logvar. The caller samples."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv

    def forward(self, sample: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(sample))


def pixels_of(sample: Tensor) -> Tensor:
    """sample (n, H, W, 3) float32 -> uint8: [-1, 1] is [0, 255], what is beyond is cut off, halves go to
    even.
    """
    return (sample * 127.5 + 127.5).clamp(0, 255).round().to(torch.uint8)


# Of both flavours. Kinora reads rgb: a quarter of the bytes, and no conversion.
DECODER_OUTPUTS = ["sample", "rgb", "mean"]
# Free dimensions.
ENCODER_AXES = {"sample": {2: "height", 3: "width"}, "moments": {2: "latent_height", 3: "latent_width"}}
DECODER_AXES = {
    "latent": {0: "n", 2: "latent_height", 3: "latent_width"},
    "sample": {0: "n", 2: "height", 3: "width"},
    "rgb": {0: "n", 1: "height", 2: "width"},
    "mean": {},
}


class VaeDecoder(nn.Module):
    """latent (n, C, h, w), already divided by the scaling factor -> sample (n, 3, H, W), about [-1, 1]; rgb
    uint8 (n, H, W, 3), the same as pixels; mean (), of all of sample, which is finite only if all of it
    is."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sample = self.decoder(self.post_quant_conv(latent))
        return sample, pixels_of(sample.permute(0, 2, 3, 1)), sample.mean()


class UnetCond(nn.Module):
    """fps int64 (1), image_latents (1, C, F, h, w), image_embeddings (B, 1, D)
    -> fps_emb (1, E), context (B, 64 + C, D), image_latents_enc (1, C, F, h, w).

    Nothing of the text is in it, so Kinora keeps it with the picture. The core puts the text before the
    context.
    """

    def __init__(self, unet: I2VGenXLUNet) -> None:
        super().__init__()
        self.time_proj, self.fps_embedding = unet.time_proj, unet.fps_embedding
        self.image_latents_context_embedding = unet.image_latents_context_embedding
        self.context_embedding = unet.context_embedding
        self.image_latents_proj_in = unet.image_latents_proj_in
        self.image_latents_temporal_encoder = unet.image_latents_temporal_encoder
        self.channels, self.context_dim = unet.config.in_channels, unet.config.cross_attention_dim

    def forward(
        self, fps: Tensor, image_latents: Tensor, image_embeddings: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        fps_emb = self.fps_embedding(self.time_proj(fps))

        first_frame = image_latents[:, :, 0]
        for layer in self.image_latents_context_embedding:
            if isinstance(layer, nn.AdaptiveAvgPool2d):
                first_frame = adaptive_avg_pool(first_frame, layer.output_size[0])
            else:
                first_frame = layer(first_frame)
        image_tokens = first_frame.flatten(2).transpose(1, 2)
        clip_tokens = self.context_embedding(image_embeddings).reshape(-1, self.channels, self.context_dim)
        # The sum broadcasts to one row per embedding, without the nodes that expand() would export.
        image_tokens = image_tokens + 0 * clip_tokens[:, :1]
        context = torch.cat([image_tokens, clip_tokens], dim=1)

        frames = self.image_latents_proj_in(image_latents[0].transpose(0, 1))
        pixels = self.image_latents_temporal_encoder(frames.flatten(2).permute(2, 0, 1))
        image_latents_enc = pixels.permute(2, 1, 0).reshape_as(image_latents)
        return fps_emb, context, image_latents_enc


class UnetCore(nn.Module):
    """sample (1, C, F, h, w), timestep int64 (1), encoder_hidden_states (B, T, D), UnetCond's three outputs,
    factors (1 + B) -> out_sample (1, C, F, h, w): `combine` of the sample and the predictions for the rows of
    the context."""

    def __init__(self, unet: I2VGenXLUNet) -> None:
        super().__init__()
        self.time_proj, self.time_embedding = unet.time_proj, unet.time_embedding
        self.conv_in, self.transformer_in = unet.conv_in, unet.transformer_in
        self.down_blocks, self.mid_block, self.up_blocks = unet.down_blocks, unet.mid_block, unet.up_blocks
        self.conv_norm_out, self.conv_act, self.conv_out = unet.conv_norm_out, unet.conv_act, unet.conv_out

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        fps_emb: Tensor,
        context: Tensor,
        image_latents_enc: Tensor,
        factors: Tensor,
    ) -> Tensor:
        num_frames, context = sample.shape[2], torch.cat([encoder_hidden_states, context], dim=1)
        x, skips, emb = self.all_but_last_block(sample, timestep, fps_emb, context, image_latents_enc)
        x = self.up(self.up_blocks[-1], x, skips, emb, context, num_frames)
        return combine(sample, self.last(x, num_frames), factors)

    def with_deep_features(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        fps_emb: Tensor,
        context: Tensor,
        image_latents_enc: Tensor,
        factors: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """-> out_sample, and the input of the last layer (B*F, C, h, w), before its skip connection."""
        num_frames, context = sample.shape[2], torch.cat([encoder_hidden_states, context], dim=1)
        x, skips, emb = self.all_but_last_block(sample, timestep, fps_emb, context, image_latents_enc)
        for layer, skip in enumerate(reversed(skips)):
            deep = x
            x = self.last_block_layer(layer, deep, skip, emb, context, num_frames)
        return combine(sample, self.last(x, num_frames), factors), deep

    def all_but_last_block(
        self, sample: Tensor, timestep: Tensor, fps_emb: Tensor, context: Tensor, image_latents_enc: Tensor
    ) -> tuple[Tensor, tuple[Tensor, ...], Tensor]:
        """-> the last block's input, its skip connections, and the embedding."""
        num_frames = sample.shape[2]
        x, emb = self.first(sample, timestep, fps_emb, context, image_latents_enc)
        skips = (x,)
        for block in self.down_blocks:
            x, block_skips = block(hidden_states=x, temb=emb, num_frames=num_frames, **cross(block, context))
            skips += block_skips
        x = self.mid_block(x, emb, num_frames=num_frames, **cross(self.mid_block, context))
        for block in self.up_blocks[:-1]:
            count = len(block.resnets)
            skips, block_skips = skips[:-count], skips[-count:]
            x = self.up(block, x, block_skips, emb, context, num_frames)
        return x, skips, emb

    def up(
        self,
        block: nn.Module,
        x: Tensor,
        skips: tuple[Tensor, ...],
        emb: Tensor,
        context: Tensor,
        num_frames: int,
    ) -> Tensor:
        return block(
            hidden_states=x,
            temb=emb,
            res_hidden_states_tuple=skips,
            num_frames=num_frames,
            **cross(block, context),
        )

    def first(
        self, sample: Tensor, timestep: Tensor, fps_emb: Tensor, context: Tensor, image_latents_enc: Tensor
    ) -> tuple[Tensor, Tensor]:
        """-> the first feature map (B*F, C, h, w) and the embedding of timestep and fps (B*F, E).

        Both are computed for one clip, because neither reads the context, and repeated for its rows.
        """
        num_frames, height, width = sample.shape[2:]
        emb = repeat_over_frames(self.time_embedding(self.time_proj(timestep)) + fps_emb, num_frames)
        x = torch.cat([sample, image_latents_enc], dim=1).transpose(1, 2)
        x = self.conv_in(x.reshape(-1, self.conv_in.in_channels, height, width))
        x = self.transformer_in(x, num_frames=num_frames)[0]
        return repeat_clip(x, context.shape[0]), repeat_clip(emb, context.shape[0])

    def last_block_layer(
        self, index: int, x: Tensor, skip: Tensor, emb: Tensor, context: Tensor, num_frames: int
    ) -> Tensor:
        """One round of the loop in the forward of UpBlock3D or CrossAttnUpBlock3D. The last block upsamples
        nothing.
        """
        block = self.up_blocks[-1]
        x = block.resnets[index](torch.cat([x, skip], dim=1), emb)
        x = block.temp_convs[index](x, num_frames=num_frames)
        if getattr(block, "has_cross_attention", False):
            x = block.attentions[index](x, encoder_hidden_states=context, return_dict=False)[0]
            x = block.temp_attentions[index](x, num_frames=num_frames, return_dict=False)[0]
        return x

    def last(self, x: Tensor, num_frames: int) -> Tensor:
        """-> the predictions (B, C, F, h, w)."""
        x = self.conv_out(self.conv_act(self.conv_norm_out(x)))
        return x.reshape(-1, num_frames, *x.shape[1:]).transpose(1, 2)


class UnetCoreDeep(nn.Module):
    """A core of any family and flavour with a second output, deep_features, for its UnetShallow.

    (B*F, C, h, w), or fused (B*F, h, w, C) in the precision of the inside, because they are large and travel
    to the host and back.
    """

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core = core

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.core.with_deep_features(*inputs)


class UnetShallow(nn.Module):
    """The first and the last layer of the UNet around deep_features of an earlier step (DeepCache, arXiv
    2312.00858).
    """

    def __init__(self, core: UnetCore) -> None:
        super().__init__()
        self.core = core

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        fps_emb: Tensor,
        context: Tensor,
        image_latents_enc: Tensor,
        factors: Tensor,
        deep_features: Tensor,
    ) -> Tensor:
        core, num_frames = self.core, sample.shape[2]
        context = torch.cat([encoder_hidden_states, context], dim=1)
        x, emb = core.first(sample, timestep, fps_emb, context, image_latents_enc)
        index = len(core.up_blocks[-1].resnets) - 1
        x = core.last_block_layer(index, deep_features, x, emb, context, num_frames)
        return combine(sample, core.last(x, num_frames), factors)


def combine(sample: Tensor, predictions: Tensor, factors: Tensor) -> Tensor:
    """factors[0] * sample + the sum over b of factors[1 + b] * predictions[b], of the sample's shape.

    Guidance and the scheduler's step are both linear, so the caller folds them into the factors; with (0, 1)
    the result is the raw prediction. Products and a sum instead of a matrix product, which a GPU may compute
    in TF32; one term after the other, so that rows that are computed one by one add up to the same bits.
    """
    rows = torch.cat([sample, predictions])
    return (factors.reshape(-1, 1, 1, 1, 1) * rows).sum(dim=0, keepdim=True)


def cross(block: nn.Module, context: Tensor) -> dict[str, Tensor]:
    """The context as it is, not repeated over frames: OnnxAttention repeats keys and values instead."""
    return {"encoder_hidden_states": context} if getattr(block, "has_cross_attention", False) else {}
