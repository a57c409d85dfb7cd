/** What each worker is, does and measures. What it does not know is left out. */
import type { ComponentChildren } from 'preact';
import type { QueuedJob, ShownWorker } from '../api/types.ts';
import { bytesText, Since } from '../parts/moments.tsx';
import { Message, Notice } from '../parts/states.tsx';
import { useSay } from '../sentences/say.ts';
import { JobProgress } from './job-progress.tsx';

export function Workers({ workers, jobs }: { workers: readonly ShownWorker[]; jobs: readonly QueuedJob[] }) {
  const { machine } = useSay();
  return (
    <section aria-labelledby="workers-title">
      <h2 id="workers-title">{machine.workers.title}</h2>
      {workers.length === 0 ? (
        <div class="card">
          <Notice icon="machine" title={machine.workers.none} hint={machine.workers.noneHint} />
        </div>
      ) : (
        <ul class="workers">
          {workers.map((worker) => (
            <li key={worker.id}>
              <Worker worker={worker} job={jobs.find(({ id }) => id === worker.video_id)} />
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Worker({ worker, job }: { worker: ShownWorker; job: QueuedJob | undefined }) {
  const { machine, create } = useSay();
  const { workers: words } = machine;
  const presets: Readonly<Record<string, string | undefined>> = create.preset.names;
  const { state, since, device, hardware, model, memory, engine } = worker;
  return (
    <article class="card worker">
      <header class="worker-head">
        <div>
          <h3>{hardware ?? device}</h3>
          <p class="hint">{[hardware ? device : null, model].filter(Boolean).join(' · ')}</p>
        </div>
        <span class={`badge badge-${state}`}>{words.states[state]}</span>
      </header>
      {engine.error ? <Message kind="error">{words.error(engine.error)}</Message> : null}
      <p class="worker-doing">
        {job ? (
          <>
            {words.makes(job.name ?? job.user, presets[job.preset] ?? job.preset)}
            <JobProgress job={job} />
          </>
        ) : since ? (
          <>
            {words.since} <Since at={since} />
          </>
        ) : (
          ' '
        )}
      </p>
      {memory.gpu_used_bytes !== null && memory.total_bytes !== null ? (
        <Meter label={words.gpuMemory} used={memory.gpu_used_bytes} total={memory.total_bytes} />
      ) : null}
      {memory.engine_bytes !== null && memory.gpu_used_bytes === null && memory.total_bytes !== null ? (
        <Meter label={words.memory} used={memory.engine_bytes} total={memory.total_bytes} />
      ) : null}
      <Facts worker={worker} />
    </article>
  );
}

function Meter({ label, used, total }: { label: string; used: number; total: number }) {
  return (
    <div class="meter-row">
      <span>{label}</span>
      <span class="numbers">
        {bytesText(used)} / {bytesText(total)}
      </span>
      <meter
        class="meter"
        aria-label={label}
        min={0}
        max={total}
        high={total * 0.9}
        value={Math.min(used, total)}
      />
    </div>
  );
}

function Facts({ worker }: { worker: ShownWorker }) {
  const { machine } = useSay();
  const { facts } = machine.workers;
  const { step_ms: stepMs, celsius, engine, cache, videos, memory, started_at: startedAt } = worker;
  const looked = (cache.hits ?? 0) + (cache.misses ?? 0);
  const rows: readonly (readonly [string, ComponentChildren] | null)[] = [
    stepMs === null ? null : [facts.step, stepText(stepMs)],
    celsius === null ? null : [facts.temperature, `${Math.round(celsius)} °C`],
    memory.gpu_used_bytes === null || memory.engine_bytes === null
      ? null
      : [facts.engineMemory, bytesText(memory.engine_bytes)],
    videos.made === null
      ? null
      : [facts.made, `${videos.made}${videos.failed ? ` (${facts.failed(videos.failed)})` : ''}`],
    looked === 0 ? null : [facts.cacheHits, `${Math.round((100 * (cache.hits ?? 0)) / looked)} %`],
    cache.bytes === null ? null : [facts.cacheSize, bytesText(cache.bytes)],
    engine.restarts === null ? null : [facts.restarts, engine.restarts],
    startedAt === null ? null : [facts.up, <Since key="up" at={startedAt} />],
  ];
  return (
    <dl class="facts">
      {rows.map((row) =>
        row ? (
          <div key={row[0]}>
            <dt>{row[0]}</dt>
            <dd class="numbers">{row[1]}</dd>
          </div>
        ) : null,
      )}
    </dl>
  );
}

const stepText = (ms: number): string =>
  ms < 995 ? `${ms < 9.95 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
