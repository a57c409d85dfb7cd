/**
 * For I2VGen-XL DDIM takes the pack's own timesteps, DPM-Solver++ 2M trailing ones. Euler, LCM and DPM-Solver++ 2M of
 * Stable Video Diffusion go down the levels of Karras.
 */
export const schedulerNames = ['ddim', 'dpm++2m', 'euler', 'lcm'] as const;
export type SchedulerName = (typeof schedulerNames)[number];
