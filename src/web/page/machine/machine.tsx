import { Screen } from '../parts/screen.tsx';
import { useSay } from '../sentences/say.ts';

export default function Machine() {
  const say = useSay();
  return <Screen title={say.machine.title} />;
}
