/** Keys of the API that act as oneself. */
import { useState } from 'preact/hooks';
import { call } from '../api/client.ts';
import type { OwnKeys } from '../api/types.ts';
import { Button } from '../parts/button.tsx';
import { Confirm } from '../parts/confirm.tsx';
import { Dialog } from '../parts/dialog.tsx';
import { Field } from '../parts/field.tsx';
import { Moment } from '../parts/moments.tsx';
import { Message } from '../parts/states.tsx';
import { sayError, useSay } from '../sentences/say.ts';
import { useActing } from '../state/acting.ts';
import { usePolled } from '../state/polling.ts';
import { Secret } from './secret.tsx';

type OwnKey = OwnKeys['data'][number];

export function Keys() {
  const say = useSay();
  const { keys: words } = say.account;
  const { data, error, refresh } = usePolled<OwnKeys>('/v1/keys');
  const [isMaking, make] = useState(false);
  const [made, show] = useState<string | undefined>();
  const [revoked, revoke] = useState<OwnKey | undefined>();
  return (
    <section class="card stack" aria-labelledby="keys-title">
      <div class="card-head">
        <h2 id="keys-title">{words.title}</h2>
        <Button isSmall icon="key" onClick={() => make(true)}>
          {words.create}
        </Button>
      </div>
      <p class="hint">
        {words.hint} <a href="/docs">{words.docs}</a>
      </p>
      {error !== undefined && !data ? <Message kind="error">{sayError(error, say)}</Message> : null}
      {data && data.data.length === 0 ? <p class="hint">{words.none}</p> : null}
      <ul class="rows" aria-busy={!data && error === undefined}>
        {(data?.data ?? []).map((key) => (
          <li key={key.id}>
            <div>
              <span class="who-name">{key.name}</span>
              <span class="hint">
                <code>{key.id}</code>
                {key.scopes.includes('admin') ? ` · ${words.admin}` : ''} · {words.since}{' '}
                <Moment at={key.created_at} />
              </span>
            </div>
            <Button isSmall onClick={() => revoke(key)}>
              {words.revoke}
            </Button>
          </li>
        ))}
      </ul>
      {isMaking ? (
        <Make
          scopes={data?.scopes ?? ['use']}
          onClose={() => make(false)}
          onMade={(key) => {
            make(false);
            show(key);
            refresh();
          }}
        />
      ) : null}
      {made === undefined ? null : (
        <Secret
          title={words.made}
          hint={words.madeHint}
          secret={made}
          name={words.key}
          copy={words.copy}
          onClose={() => show(undefined)}
        />
      )}
      {revoked ? (
        <Confirm
          title={words.revokeTitle(revoked.name)}
          action={words.revoke}
          onClose={() => revoke(undefined)}
          onConfirm={async () => {
            await call(`/v1/keys/${revoked.id}`, { method: 'DELETE' });
            refresh();
            return words.revoked;
          }}
        >
          <p>{words.revokeHint}</p>
        </Confirm>
      ) : null}
    </section>
  );
}

interface MakeProps {
  readonly scopes: OwnKeys['scopes'];
  readonly onClose: () => void;
  readonly onMade: (key: string) => void;
}

function Make({ scopes, onClose, onMade }: MakeProps) {
  const { account, shell } = useSay();
  const { keys: words } = account;
  const [name, setName] = useState('');
  const [scope, setScope] = useState<'use' | 'admin'>('use');
  const { isBusy, run } = useActing();
  const submit = (): Promise<boolean> =>
    run(async () => {
      const body = { name, scopes: scope === 'use' ? ['use'] : ['use', 'admin'] };
      const { key } = await call<{ readonly key: string }>('/v1/keys', { method: 'POST', body });
      onMade(key);
      return undefined;
    });
  return (
    <Dialog title={words.create} onClose={onClose}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <Field label={words.name} hint={words.nameHint}>
          {(field) => (
            <input
              {...field}
              class="input"
              required
              maxLength={64}
              autocomplete="off"
              value={name}
              onInput={({ currentTarget }) => setName(currentTarget.value)}
            />
          )}
        </Field>
        {scopes.length > 1 ? (
          <fieldset class="stack">
            <legend class="field-label">{words.scope}</legend>
            {scopes.map((one) => (
              <label class="check" key={one}>
                <input type="radio" name="scope" checked={scope === one} onChange={() => setScope(one)} />
                <span>{words.scopes[one]}</span>
              </label>
            ))}
          </fieldset>
        ) : null}
        <div class="dialog-actions">
          <Button onClick={onClose}>{shell.keep}</Button>
          <Button type="submit" kind="primary" isBusy={isBusy}>
            {words.make}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}
