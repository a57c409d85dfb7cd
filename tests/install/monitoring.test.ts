/** Dashboard and alerts speak of metrics and labels that bot and worker have. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { BotMetrics } from '../../src/bot/metrics.ts';
import { RedisProbe } from '../../src/metrics/redis-probe.ts';
import { Keys } from '../../src/queue/keys.ts';
import { WorkerMetrics } from '../../src/worker/metrics.ts';
import { Vitals } from '../../src/worker/vitals.ts';

const project = path.resolve(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(path.join(project, file), 'utf8');

const describedSchema = z.object({ name: z.string(), type: z.string(), labelNames: z.array(z.string()) });
const redis = new Redis({ lazyConnect: true });
const vitals = new Vitals({ device: 'cpu', model: '', engineStatus: () => undefined, cacheFolder: '' });
const registries = [
  new BotMetrics(new RedisProbe(redis, new Keys()), () => true),
  new WorkerMetrics({ probe: new RedisProbe(redis, new Keys()), engineStatus: () => undefined, vitals }),
].map(({ registry }) => registry.getMetricsAsArray());
vitals.stop();
/** What Prometheus adds. */
const everywhere = ['part', 'instance', 'job', 'le'];
/** Kind and labels of each metric of ours. */
const metrics = new Map(
  registries
    .flat()
    .map((metric) => describedSchema.parse(metric))
    .filter(({ name }) => name.startsWith('kinora_'))
    .map(({ name, type, labelNames }) => [name, { type, labels: new Set([...labelNames, ...everywhere]) }]),
);
const asSource = (name: string): string => name.replace(/_(bucket|sum|count)$/, '');

const expressions = [
  ...read('deploy/monitoring/grafana/kinora.json').matchAll(/"expr": "(.*)"/g),
  ...read('deploy/monitoring/alerts.yml').matchAll(/expr: ([\s\S]*?)\n {8}for:/g),
].map(([, expression = '']) => expression.replaceAll('\\"', '"'));

it('finds the metrics of the code', () => {
  expect(metrics.size).toBeGreaterThan(20);
  expect(metrics.get('kinora_delivery_attempts_total')?.labels).toContain('outcome');
});

it.each(expressions)('%s names what exists', (expression) => {
  const names = [...expression.matchAll(/\bkinora_\w+/g)].map(([name]) => name);
  const known = names.filter((name) => {
    const metric = metrics.get(name) ?? metrics.get(asSource(name));
    return metric && (metric.type === 'histogram') === (asSource(name) !== name);
  });
  expect(known).toEqual(names);
  const labels = [...expression.matchAll(/by \(([^)]*)\)|\{(\w+)=/g)].flatMap(([, list = '', one = '']) =>
    `${list},${one}`.split(/[,\s]+/).filter((label) => label !== ''),
  );
  const ofNamed = new Set(names.flatMap((name) => [...(metrics.get(asSource(name))?.labels ?? [])]));
  if (names.length > 0) expect(labels.filter((label) => !ofNamed.has(label))).toEqual([]);
});

it('shows every metric of ours', () => {
  const shown = new Set(
    expressions.flatMap((text) => [...text.matchAll(/\bkinora_\w+/g)].map(([name]) => asSource(name))),
  );
  expect([...metrics.keys()].filter((name) => !shown.has(name))).toEqual([]);
});
