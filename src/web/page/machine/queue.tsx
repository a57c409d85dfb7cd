/** What runs and what waits, in the order in which it will be served, and whose it is. */
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { QueuedJob, QueueNow } from '../api/types.ts';
import { IconButton } from '../parts/button.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Since } from '../parts/moments.tsx';
import { Notice } from '../parts/states.tsx';
import { useSay } from '../sentences/say.ts';
import { JobProgress } from './job-progress.tsx';
import { Who } from './who.tsx';

export function Queue({ queue, onChange }: { queue: QueueNow; onChange: () => void }) {
  const { machine, shell } = useSay();
  const { queue: words } = machine;
  const [asked, ask] = useState<QueuedJob | undefined>();
  const hidden = queue.waiting + queue.running - queue.data.length;
  return (
    <section aria-labelledby="queue-title">
      <h2 id="queue-title">{words.title}</h2>
      <div class="card table-card">
        {queue.data.length === 0 ? (
          <Notice icon="check" title={words.empty} hint={words.emptyHint} />
        ) : (
          <table class="table queue-table">
            <thead>
              <tr>
                <th scope="col">{words.place}</th>
                <th scope="col">{words.who}</th>
                <th scope="col" class="wide-only">
                  {words.what}
                </th>
                <th scope="col">{words.state}</th>
                <th scope="col" class="wide-only">
                  {words.age}
                </th>
                <th scope="col">
                  <span class="hidden">{words.actions}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {queue.data.map((job) => (
                <Row key={job.id} job={job} onCancel={() => ask(job)} />
              ))}
            </tbody>
          </table>
        )}
        {hidden > 0 ? <p class="hint table-more">{words.more(hidden)}</p> : null}
      </div>
      {asked ? (
        <Confirm
          title={words.cancelTitle(asked.name ?? asked.user)}
          action={words.cancel}
          onClose={() => ask(undefined)}
          onConfirm={async () => {
            await call(`/v1/admin/videos/${encodeURIComponent(asked.id)}/cancel`, { method: 'POST' });
            onChange();
            return words.cancelled;
          }}
        >
          <p>{words.cancelHint}</p>
          <p class="hint">
            <code>{asked.user}</code> · {shell.id}: <code>{asked.id}</code>
          </p>
        </Confirm>
      ) : null}
    </section>
  );
}

function Row({ job, onCancel }: { job: QueuedJob; onCancel: () => void }) {
  const { machine, clips, create } = useSay();
  const { queue: words } = machine;
  const presets: Readonly<Record<string, string | undefined>> = create.preset.names;
  const what = [presets[job.preset] ?? job.preset, clips.surfaces[job.surface] ?? job.surface].join(' · ');
  return (
    <tr>
      <td class="numbers">{job.position === null ? '–' : job.position + 1}</td>
      <td>
        <Who user={job.user} name={job.name} />
        <span class="narrow-only hint">{what}</span>
      </td>
      <td class="wide-only">{what}</td>
      <td class="queue-state">
        {job.cancelling ? (
          words.cancelling
        ) : job.state === 'running' ? (
          <JobProgress job={job} />
        ) : (
          <>
            {job.waits_for_model && job.model !== null ? words.waitsFor(job.model) : words.waits}
            <span class="narrow-only hint">
              <Since at={job.created_at * 1000} />
            </span>
          </>
        )}
      </td>
      <td class="wide-only">
        <Since at={job.created_at * 1000} />
      </td>
      <td class="table-action">
        <IconButton
          icon="close"
          label={words.cancelOf(job.name ?? job.user)}
          isDisabled={job.cancelling}
          onClick={onCancel}
        />
      </td>
    </tr>
  );
}
