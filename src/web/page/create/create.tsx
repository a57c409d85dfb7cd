import { Screen } from '../parts/screen.tsx';
import { useSay } from '../sentences/say.ts';

export function Create() {
  const say = useSay();
  return <Screen title={say.create.title} />;
}
