/** Says that the server does not answer, for as long as that is so. */
import { connection } from '../api/client.ts';
import { Icon } from '../parts/icon.tsx';
import { useSay } from '../sentences/say.ts';
import { useStore } from '../state/store.ts';

export function Outage() {
  const say = useSay();
  const now = useStore(connection);
  const isAway = now === 'unreachable' || now === 'no-queue';
  return (
    <div role="status" class={isAway ? 'outage' : 'hidden'}>
      {isAway ? (
        <>
          <Icon name="wifiOff" />
          <span>{now === 'no-queue' ? say.shell.noQueue : say.shell.unreachable}</span>
        </>
      ) : null}
    </div>
  );
}
