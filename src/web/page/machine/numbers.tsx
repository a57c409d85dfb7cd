/** The machine at a glance. */
import type { ComponentChildren } from 'preact';
import type { QueueNow, ShownWorker } from '../api/types.ts';
import { bytesText, Since } from '../parts/moments.tsx';
import { useSay } from '../sentences/say.ts';

interface TileProps {
  readonly label: string;
  readonly value: ComponentChildren;
  /** A line below. */
  readonly note?: ComponentChildren;
  readonly isBad?: boolean;
}

function Tile({ label, value, note, isBad = false }: TileProps) {
  return (
    <div class={isBad ? 'number number-bad' : 'number'}>
      <dt>{label}</dt>
      <dd>
        <span class="number-value numbers">{value}</span>
        <span class="number-note">{note ?? ' '}</span>
      </dd>
    </div>
  );
}

export function Numbers({ queue, workers }: { queue: QueueNow; workers: readonly ShownWorker[] }) {
  const say = useSay();
  const { numbers } = say.machine;
  const alive = workers.filter(({ state }) => state !== 'gone' && state !== 'broken' && state !== 'loading');
  const known = workers.filter(({ videos }) => videos.last_hour !== null);
  const lastHour = known.reduce((sum, { videos }) => sum + (videos.last_hour ?? 0), 0);
  const { disk, oldest_waiting_at: oldest, seconds_left: left } = queue;
  return (
    <dl class="numbers-row">
      <Tile
        label={numbers.waiting}
        value={queue.waiting}
        note={
          oldest === null ? null : (
            <>
              {numbers.oldest} <Since at={oldest * 1000} />
            </>
          )
        }
      />
      <Tile
        label={numbers.running}
        value={queue.running}
        note={queue.answering > 0 ? numbers.answering(queue.answering) : null}
      />
      <Tile
        label={numbers.left}
        value={queue.waiting + queue.running === 0 || left === null ? '–' : say.duration(left * 1000)}
        note={queue.waiting === 0 ? numbers.nothingWaits : left === null ? numbers.unknown : numbers.leftNote}
      />
      <Tile
        label={numbers.lastHour}
        value={known.length === 0 ? '–' : lastHour}
        note={known.length === 0 ? numbers.unknown : numbers.videos}
      />
      <Tile
        label={numbers.workers}
        value={alive.length}
        note={alive.length === 0 ? numbers.noWorkers : numbers.workersNote(workers.length)}
        isBad={alive.length === 0}
      />
      <Tile
        label={numbers.disk}
        value={disk ? bytesText(disk.free_bytes) : '–'}
        note={disk?.almost_full ? numbers.diskFull : numbers.free}
        isBad={disk?.almost_full ?? false}
      />
    </dl>
  );
}
