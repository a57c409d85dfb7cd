/** The temperature of the processor, where the kernel has a driver for its own sensor. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

/** Drivers of Intel, of AMD, and of small ARM boards. Other sensors measure boards, disks and batteries. */
const drivers: ReadonlySet<string> = new Set(['coretemp', 'k10temp', 'zenpower', 'cpu_thermal']);

/** Degrees Celsius of the hottest sensor; null where none is known. */
export async function cpuCelsius(root = '/sys/class/hwmon'): Promise<number | null> {
  let hottest: number | null = null;
  for (const name of await readdir(root).catch(() => [])) {
    const folder = path.join(root, name);
    if (!drivers.has((await readText(path.join(folder, 'name'))).trim())) continue;
    for (const file of await readdir(folder).catch(() => [])) {
      if (!/^temp\d+_input$/.test(file)) continue;
      const thousandths = Number.parseInt(await readText(path.join(folder, file)), 10);
      if (thousandths > 0) hottest = Math.max(hottest ?? 0, thousandths / 1000);
    }
  }
  return hottest;
}

const readText = (file: string): Promise<string> => readFile(file, 'utf8').catch(() => '');
