/**
 * How much signal is left at each training timestep: the cumulative product of (1 - beta), usually called
 * alphas_cumprod. Rounded to float32 wherever torch rounds, so that later cancellation sees the same numbers.
 * (diffusers schedulers/scheduling_ddim.py; zero terminal SNR: arXiv 2305.08891, algorithm 1.)
 */
import type { BetaConfig } from './scheduler-config.ts';

const { fround } = Math;

/** alphas_cumprod, one float32 per training timestep, falling from about 1 towards 0. */
export function alphasCumprod(config: BetaConfig): Float32Array {
  const betas = makeBetas(config);
  return cumprodOfComplement(config.rescale_betas_zero_snr ? rescaleZeroTerminalSnr(betas) : betas);
}

function makeBetas(config: BetaConfig): Float32Array {
  const count = config.num_train_timesteps ?? 1000;
  const start = config.beta_start ?? 0.0001;
  const end = config.beta_end ?? 0.02;
  switch (config.beta_schedule ?? 'linear') {
    case 'linear':
      return linspace(start, end, count);
    case 'scaled_linear':
      return linspace(Math.sqrt(start), Math.sqrt(end), count).map((root) => root * root);
    case 'squaredcos_cap_v2':
      return cosineBetas(count);
  }
}

/** torch.linspace in float32, which counts from both ends towards the middle with fused multiply-adds. */
function linspace(start: number, end: number, count: number): Float32Array {
  const first = fround(start);
  const last = fround(end);
  const step = fround(fround(last - first) / (count - 1));
  return Float32Array.from({ length: count }, (_, i) =>
    i < count / 2 ? first + step * i : last - step * (count - 1 - i),
  );
}

function cosineBetas(count: number): Float32Array {
  const alphaBar = (u: number) => Math.cos((((u + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  return Float32Array.from({ length: count }, (_, i) =>
    Math.min(1 - alphaBar((i + 1) / count) / alphaBar(i / count), 0.999),
  );
}

/** cumprod(1 - beta): torch multiplies in double and stores each product as float32. */
function cumprodOfComplement(betas: Float32Array): Float32Array {
  let product = 1;
  return betas.map((beta) => {
    product *= fround(1 - beta);
    return product;
  });
}

/**
 * Just below 1, the square root of every second float32 lies a hair under the middle between two others. Torch's
 * vectorised sqrt rounds those up. The bit matters: what is left of 1 - alphaBar there is made of few bits.
 */
const rootRounding = 2e-9;

/** New betas for which the last timestep holds no signal at all, the first as much as before. */
function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
  const roots = cumprodOfComplement(betas).map((alphaBar) => Math.sqrt(alphaBar) + rootRounding);
  const first = roots[0] ?? 1;
  const last = roots.at(-1) ?? 0;
  const scale = fround(first / fround(first - last));
  const alphasBar = roots.map((root) => fround(fround(root - last) * scale) ** 2);
  return alphasBar.map((alphaBar, i) => 1 - fround(alphaBar / (i === 0 ? 1 : (alphasBar[i - 1] ?? 1))));
}
