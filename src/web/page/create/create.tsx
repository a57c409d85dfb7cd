/** Create: a picture, words and settings become a request; beside it, the person's videos as they come along. */
import './create.css';
import './live.css';
import './settings.css';
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso/router';
import { call, connection } from '../api/client.ts';
import type { Studio, Video } from '../api/types.ts';
import { Screen } from '../parts/screen.tsx';
import { Message } from '../parts/states.tsx';
import { showToast } from '../parts/toasts.tsx';
import { sayError, sayNow, useSay } from '../sentences/say.ts';
import { session } from '../state/session.ts';
import { useStore } from '../state/store.ts';
import { useStudio } from '../state/studio.ts';
import { Composer } from './composer.tsx';
import { changeDraft, chooseModel, draft, draftOf, emptyDraft, keepDraft } from './draft.ts';
import { Live } from './live.tsx';

export function Create() {
  const say = useSay();
  const studio = useStudio(useStore(draft).model);
  useOfferedModel(studio);
  const isLoaded = useKeptDraft(studio);
  // What one sees stands still: it waits for what decides its form, unless that does not come.
  const isReady = useStore(connection) !== 'fine' || (isLoaded && studio !== undefined);
  // Once there, the form stays: the connection may come back before the answer does.
  const [wasReady, setReady] = useState(false);
  useEffect(() => {
    if (isReady) setReady(true);
  }, [isReady]);
  return (
    <Screen title={say.create.title} isTitleHidden>
      <div class="create">
        <div class="create-composer">
          <Mode mode={studio?.mode} />
          <Remixed />
          {isReady || wasReady ? <Composer studio={studio} /> : <div class="composer-ghost" />}
        </div>
        <Live />
      </div>
    </Screen>
  );
}

/** A model that no worker has any more gives way to the default. */
function useOfferedModel(studio: Studio | undefined): void {
  const { model } = useStore(draft);
  const isGone = model !== undefined && studio?.models.some(({ id }) => id === model) === false;
  useEffect(() => {
    if (isGone) chooseModel(undefined);
  }, [isGone]);
}

/** Loads the draft of this person, then the settings of the video in the address, where there is one. */
function useKeptDraft(studio: Studio | undefined): boolean {
  const { query, route } = useLocation();
  const now = useStore(session);
  const user = now.kind === 'signed-in' ? now.me.user : undefined;
  const [isLoaded, setLoaded] = useState(false);
  useEffect(() => {
    if (user === undefined) return;
    const keeping = keepDraft(user);
    keeping.then(() => setLoaded(true));
    return () => {
      setLoaded(false);
      void keeping.then((stop) => stop());
    };
  }, [user]);
  const from = query['from'];
  useEffect(() => {
    if (!from || !studio || !isLoaded) return;
    call<Video>(`/v1/videos/${encodeURIComponent(from)}`)
      .then((video) => draft.set(draftOf(video, studio)))
      .catch((error) => showToast(sayError(error, sayNow()), 'error'))
      // A reload keeps what was changed since.
      .finally(() => route('/', true));
  }, [from, studio === undefined, isLoaded]);
  return isLoaded;
}

function Mode({ mode = 'running' }: { mode: Studio['mode'] | undefined }) {
  const say = useSay();
  if (mode === 'running') return null;
  return <Message kind="warning">{say.create.send[mode]}</Message>;
}

function Remixed() {
  const say = useSay();
  const { from } = useStore(draft);
  if (!from) return null;
  return (
    <Message kind="info">
      <strong>{say.create.remix.title}.</strong> {say.create.remix.hint}{' '}
      <button type="button" class="text-button" onClick={() => changeDraft(emptyDraft)}>
        {say.create.remix.stop}
      </button>
    </Message>
  );
}
