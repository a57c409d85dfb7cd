/** Whether requests are taken and made, and how an admin changes that. */
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { QueueNow } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Field } from '../parts/field.tsx';
import { Moment } from '../parts/moments.tsx';
import { Message } from '../parts/states.tsx';
import { useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import type { Polled } from '../state/polling.ts';

type Mode = QueueNow['mode'];

const setMode = (mode: Mode, reason: string): Promise<unknown> =>
  call('/v1/admin/mode', { method: 'PUT', body: { mode, reason } });

export function ModeButtons({ queue }: { queue: Polled<QueueNow> }) {
  const { machine } = useSay();
  const [asked, ask] = useState<'paused' | 'draining' | undefined>();
  const { isBusy, run } = useActing();
  const mode = queue.data?.mode;
  const resume = async (): Promise<string> => {
    await setMode('running', '');
    queue.refresh();
    return machine.resumed;
  };
  return (
    <div class="mode-buttons">
      {mode !== undefined && mode !== 'running' ? (
        <Button kind="primary" icon="play" isBusy={isBusy} onClick={() => void run(resume)}>
          {machine.resume}
        </Button>
      ) : null}
      {mode === 'running' ? (
        <Button icon="drain" onClick={() => ask('draining')}>
          {machine.drain}
        </Button>
      ) : null}
      {mode === 'running' || mode === 'draining' ? (
        <Button icon="pause" onClick={() => ask('paused')}>
          {machine.pause}
        </Button>
      ) : null}
      {asked ? <AskMode mode={asked} onDone={queue.refresh} onClose={() => ask(undefined)} /> : null}
    </div>
  );
}

interface AskModeProps {
  readonly mode: 'paused' | 'draining';
  readonly onDone: () => void;
  readonly onClose: () => void;
}

function AskMode({ mode, onDone, onClose }: AskModeProps) {
  const { machine } = useSay();
  const [reason, setReason] = useState('');
  const words = mode === 'paused' ? machine.pauseDialog : machine.drainDialog;
  return (
    <Confirm
      title={words.title}
      action={words.action}
      kind="primary"
      onClose={onClose}
      onConfirm={async () => {
        await setMode(mode, reason);
        onDone();
        return words.done;
      }}
    >
      <p>{words.hint}</p>
      <ReasonField value={reason} onInput={setReason} />
    </Confirm>
  );
}

const longestReason = 300;

export function ReasonField({ value, onInput }: { value: string; onInput: (text: string) => void }) {
  const { machine } = useSay();
  return (
    <Field label={machine.reason} hint={machine.reasonHint}>
      {(field) => (
        <input
          {...field}
          class="input"
          maxLength={longestReason}
          value={value}
          onInput={({ currentTarget }) => onInput(currentTarget.value)}
        />
      )}
    </Field>
  );
}

export function ModeBanner({ queue: { data } }: { queue: Polled<QueueNow> }) {
  const { machine } = useSay();
  if (!data || data.mode === 'running') return null;
  const { mode_set: set } = data;
  return (
    <div class="mode-banner">
      <Message kind="warning">
        <strong>{machine.modes[data.mode]}</strong> {machine.modeHints[data.mode]}
        {set ? (
          <p>
            {machine.setBy(set.name ?? set.by)} <Moment at={set.at} />
            {set.reason ? `: ${set.reason}` : ''}
          </p>
        ) : null}
      </Message>
    </div>
  );
}
