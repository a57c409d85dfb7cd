import { useRef, useState } from 'preact/hooks';
import { ApiError } from '../api/client.ts';
import type { Studio } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Message } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { session } from '../state/session.ts';
import { useStore } from '../state/store.ts';
import { type Draft, draft } from './draft.ts';
import { ModelCards } from './model-cards.tsx';
import { MoreSettings } from './more-settings.tsx';
import { creditsOf, presetOf } from './options.ts';
import { PictureField } from './picture-field.tsx';
import { PresetCards } from './preset-cards.tsx';
import { PromptField } from './prompt-field.tsx';
import type { Refusal } from './refusal.ts';
import { submit } from './submit.ts';

/** Parameters with a place of their own, where the sentence stands. */
const placed: ReadonlySet<string> = new Set([
  'input_reference',
  'prompt',
  'negative_prompt',
  'num_frames',
  'num_inference_steps',
  'guidance_scale',
  'guidance_end',
  'feature_reuse',
  'motion_bucket_id',
  'noise_aug_strength',
  'fps',
  'size',
  'seed',
]);

export function Composer({ studio }: { studio: Studio | undefined }) {
  const say = useSay();
  const now = useStore(draft);
  const form = useRef<HTMLFormElement>(null);
  const [isSending, setSending] = useState(false);
  const [accepted, setAccepted] = useState('');
  const [refusal, setRefusal] = useState<Refusal>({});
  const [refusedDraft, setRefusedDraft] = useState<Draft>();
  const preset = studio && presetOf(now, studio);
  const isRefusalShown = refusedDraft === now || refusal[''] !== undefined;
  const shown: Refusal = isRefusalShown ? refusal : {};

  const refuse = (at: string, sentence: string): void => {
    setRefusal({ [at]: sentence });
    setRefusedDraft(draft.get());
    requestAnimationFrame(() => {
      const place = form.current?.querySelector('[role="alert"]');
      place?.closest('details')?.setAttribute('open', '');
      place?.scrollIntoView({ block: 'center', behavior: 'smooth' });
    });
  };
  const send = async (): Promise<void> => {
    if (!studio || !preset) return refuse('', say.create.send.noStudio);
    if (!now.picture && !now.from) return refuse('input_reference', say.create.send.needPicture);
    setSending(true);
    setAccepted('');
    setRefusal({});
    try {
      await submit(preset, studio);
      setAccepted(say.create.send.accepted);
      showLive();
    } catch (error) {
      const param = error instanceof ApiError ? error.param : undefined;
      refuse(param && placed.has(param) ? param : '', sayError(error, say));
    } finally {
      setSending(false);
    }
  };

  return (
    <form
      ref={form}
      class="composer"
      aria-label={say.create.title}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        if (!isSending) void send();
      }}
    >
      <PictureField
        studio={studio}
        error={shown['input_reference']}
        onRefuse={(why) => refuse('input_reference', why)}
      />
      <PromptField studio={studio} errors={shown} />
      <ModelCards studio={studio} />
      <PresetCards studio={studio} />
      <MoreSettings studio={studio} errors={shown} />
      {shown[''] ? <Message kind="error">{shown['']}</Message> : null}
      <p class="hidden" role="status">
        {accepted}
      </p>
      <div class="send-bar">
        <Costs credits={preset ? creditsOf(now, preset) : undefined} />
        <Button
          kind="primary"
          type="submit"
          icon="play"
          isBusy={isSending}
          isDisabled={studio !== undefined && studio.mode !== 'running'}
        >
          {isSending ? say.create.send.sending : now.from ? say.create.send.remix : say.create.send.button}
        </Button>
      </div>
    </form>
  );
}

/** Where the videos are below the form, whoever sends it sees what became of it. */
function showLive(): void {
  if (!matchMedia('(max-width: 63.99rem)').matches) return;
  document.getElementById('live-title')?.scrollIntoView({ block: 'start', behavior: 'smooth' });
}

function Costs({ credits }: { credits: number | undefined }) {
  const say = useSay();
  const now = useStore(session);
  if (now.kind !== 'signed-in' || credits === undefined) return <div class="costs" />;
  const { left, per_day, granted } = now.me.credits;
  const isEnough = left >= credits;
  return (
    <div class="costs">
      <span>{say.create.send.costs(credits)}</span>
      <span class={isEnough ? 'hint' : 'field-error'}>
        {isEnough ? say.create.send.left(left, per_day + granted) : say.create.send.leftTooFew(left)}
      </span>
    </div>
  );
}
