/** Where one's programs are told that a video is over. */
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { ListedWebhook } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Field } from '../parts/field.tsx';
import { Message } from '../parts/states.tsx';
import { showToast } from '../parts/toasts.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import { usePolled } from '../state/polling.ts';
import { Secret } from './secret.tsx';

interface Tested {
  readonly delivered: boolean;
  readonly status: number | null;
}

export function Webhooks() {
  const say = useSay();
  const { webhooks: words } = say.account;
  const { data, error, refresh } = usePolled<{ readonly data: readonly ListedWebhook[] }>('/v1/webhooks');
  const [secret, show] = useState<string | undefined>();
  const [removed, remove] = useState<ListedWebhook | undefined>();
  return (
    <section class="card stack" aria-labelledby="webhooks-title">
      <h2 id="webhooks-title">{words.title}</h2>
      <p class="hint">{words.hint}</p>
      {error !== undefined && !data ? <Message kind="error">{sayError(error, say)}</Message> : null}
      {data && data.data.length === 0 ? <p class="hint">{words.none}</p> : null}
      <ul class="rows" aria-busy={!data && error === undefined}>
        {(data?.data ?? []).map((webhook) => (
          <Row key={webhook.id} webhook={webhook} onRemove={() => remove(webhook)} />
        ))}
      </ul>
      <Add
        onAdded={(told) => {
          show(told);
          refresh();
        }}
      />
      {secret === undefined ? null : (
        <Secret
          title={words.secretTitle}
          hint={words.secretHint}
          secret={secret}
          name={words.secret}
          copy={words.copy}
          onClose={() => show(undefined)}
        />
      )}
      {removed ? (
        <Confirm
          title={words.removeTitle}
          action={words.remove}
          onClose={() => remove(undefined)}
          onConfirm={async () => {
            await call(`/v1/webhooks/${removed.id}`, { method: 'DELETE' });
            refresh();
            return words.removed;
          }}
        >
          <p class="address">{removed.url}</p>
          <p>{words.removeHint}</p>
        </Confirm>
      ) : null}
    </section>
  );
}

function Row({ webhook, onRemove }: { webhook: ListedWebhook; onRemove: () => void }) {
  const { account } = useSay();
  const { webhooks: words } = account;
  const { isBusy, run } = useActing();
  const test = async (): Promise<undefined> => {
    const { delivered, status } = await call<Tested>(`/v1/webhooks/${webhook.id}/test`, { method: 'POST' });
    if (status === null) showToast(words.silent, 'error');
    else if (delivered) showToast(words.delivered(status));
    else showToast(words.refused(status), 'error');
  };
  return (
    <li>
      <div>
        <span class="address">{webhook.url}</span>
        {webhook.disabled ? <span class="hint">{words.disabled}</span> : null}
      </div>
      <Button isSmall isBusy={isBusy} onClick={() => void run(test)}>
        {words.test}
      </Button>
      <Button isSmall onClick={onRemove}>
        {words.remove}
      </Button>
    </li>
  );
}

function Add({ onAdded }: { onAdded: (secret: string) => void }) {
  const { account } = useSay();
  const { webhooks: words } = account;
  const [url, setUrl] = useState('');
  const { isBusy, run } = useActing();
  const submit = (): Promise<boolean> =>
    run(async () => {
      const body = { url: url.trim() };
      const { secret } = await call<{ readonly secret: string }>('/v1/webhooks', { method: 'POST', body });
      setUrl('');
      onAdded(secret);
      return undefined;
    });
  return (
    <form
      class="number-form"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <Field label={words.url}>
        {(field) => (
          <input
            {...field}
            class="input"
            type="url"
            required
            maxLength={2_000}
            placeholder={words.urlHint}
            value={url}
            onInput={({ currentTarget }) => setUrl(currentTarget.value)}
          />
        )}
      </Field>
      <div class="number-form-actions">
        <Button type="submit" isBusy={isBusy}>
          {words.add}
        </Button>
      </div>
    </form>
  );
}
