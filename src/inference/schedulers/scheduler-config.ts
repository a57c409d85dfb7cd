/**
 * `scheduler/scheduler_config.json` of a diffusers folder: which values we honour, which we refuse. Fields that are
 * missing stay missing, because each algorithm has its own defaults for them (diffusers' `from_config` does the same).
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { KinoraError } from '../../errors.ts';

const optionalOff = z.literal(false).nullish();

export const timestepSpacings = ['leading', 'trailing', 'linspace'] as const;
export type TimestepSpacing = (typeof timestepSpacings)[number];

const betaConfigSchema = z.object({
  _class_name: z.enum(['DDIMScheduler', 'DPMSolverMultistepScheduler']).optional(),
  num_train_timesteps: z.int().min(2).max(100_000).optional(),
  beta_schedule: z.enum(['linear', 'scaled_linear', 'squaredcos_cap_v2']).optional(),
  beta_start: z.number().positive().lt(1).optional(),
  beta_end: z.number().positive().lt(1).optional(),
  trained_betas: z.null().optional(),
  rescale_betas_zero_snr: z.boolean().optional(),
  prediction_type: z.enum(['epsilon', 'v_prediction']).optional(),
  timestep_spacing: z.enum(timestepSpacings).optional(),
  steps_offset: z.int().min(0).max(1000).optional(),
  thresholding: optionalOff,
  // DDIM only
  set_alpha_to_one: z.boolean().optional(),
  clip_sample: z.boolean().optional(),
  clip_sample_range: z.number().positive().optional(),
  // DPM-Solver only
  algorithm_type: z.literal('dpmsolver++').optional(),
  solver_order: z.literal(2).optional(),
  solver_type: z.literal('midpoint').optional(),
  final_sigmas_type: z.literal('zero').optional(),
  lambda_min_clipped: z.literal('-Infinity').optional(),
  variance_type: z.null().optional(),
  use_karras_sigmas: optionalOff,
  use_exponential_sigmas: optionalOff,
  use_beta_sigmas: optionalOff,
  use_lu_lambdas: optionalOff,
  use_flow_sigmas: optionalOff,
  use_dynamic_shifting: optionalOff,
});

/** Timesteps of a training schedule of betas. */
export type BetaConfig = z.infer<typeof betaConfigSchema>;

/** Levels that know no betas: those of the file have no effect, nor have spacing and offset. */
const karrasConfigSchema = z.object({
  _class_name: z.literal('EulerDiscreteScheduler'),
  prediction_type: z.literal('v_prediction'),
  use_karras_sigmas: z.literal(true),
  sigma_min: z.number().positive(),
  sigma_max: z.number().positive(),
  timestep_type: z.literal('continuous'),
  interpolation_type: z.literal('linear').optional(),
  final_sigmas_type: z.literal('zero').optional(),
  use_exponential_sigmas: optionalOff,
  use_beta_sigmas: optionalOff,
});
export type KarrasConfig = z.infer<typeof karrasConfigSchema>;

const karrasClass = z.object({ _class_name: z.literal('EulerDiscreteScheduler') });

export type SchedulerConfig = BetaConfig | KarrasConfig;

/** Checks a parsed scheduler_config.json. Throws PACK_INVALID naming the field, its value and what is possible. */
export function parseSchedulerConfig(json: unknown): SchedulerConfig {
  const schema = karrasClass.safeParse(json).success ? karrasConfigSchema : betaConfigSchema;
  const result = schema.safeParse(json, { reportInput: true });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const field = issue?.path.join('.') ?? '';
  const value = JSON.stringify(issue?.input) ?? 'missing';
  throw new KinoraError(
    'PACK_INVALID',
    field === ''
      ? `scheduler_config.json is not an object of settings but ${value.slice(0, 80)}.`
      : `scheduler_config.json has ${field} = ${value.slice(0, 80)}, which Kinora does not know: ${issue?.message}.`,
    { cause: result.error },
  );
}

/** Reads and checks `<packDir>/scheduler/scheduler_config.json`. Throws PACK_INVALID. */
export async function readSchedulerConfig(packDir: string): Promise<SchedulerConfig> {
  const file = path.join(packDir, 'scheduler', 'scheduler_config.json');
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new KinoraError('PACK_INVALID', `The model pack has no readable file ${file}.`, { cause });
  }
  let json: unknown;
  try {
    // Python writes an infinite lambda_min_clipped as a bare -Infinity, which is not JSON.
    json = JSON.parse(text.replace(/:\s*-Infinity\b/g, ': "-Infinity"'));
  } catch (cause) {
    throw new KinoraError('PACK_INVALID', `${file} is not valid JSON.`, { cause });
  }
  return parseSchedulerConfig(json);
}
