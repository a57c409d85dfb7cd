/**
 * `npm run screenshots`: pictures of everything that the page shows, on three screens, light and dark, in
 * out/screenshots. Options: --only NAME (a part of a state's name) · --locale zh-CN
 */
import { parseArgs } from 'node:util';
import { screens } from './browser-studio.ts';
import { endWork, prepare, states } from './states.ts';
import { withStudio } from './with-studio.ts';

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, locale: { type: 'string', default: 'en-GB' } },
});
await withStudio(async (openStudio) => {
  const preparing = openStudio();
  const cast = await prepare(preparing);
  await preparing.close();
  for (const state of states.filter(({ name }) => name.includes(values.only))) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const studio = openStudio();
      for (const screen of Object.keys(screens) as (keyof typeof screens)[]) {
        const page = await state.open(studio, cast, { screen, colorScheme, locale: values.locale });
        await studio.screenshot(page, `${state.name}-${screen}-${colorScheme}`);
      }
      for (const own of [/status of 40[134]/, state.faults ?? []].flat()) studio.allow(own);
      for (const fault of studio.faults) process.stdout.write(`${state.name}: ${fault}\n`);
      await studio.close();
    }
    process.stdout.write(`${state.name}\n`);
  }
  await endWork(cast);
});
