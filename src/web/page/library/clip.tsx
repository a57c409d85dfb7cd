import { Screen } from '../parts/screen.tsx';
import { useSay } from '../sentences/say.ts';

export default function Clip() {
  const say = useSay();
  return <Screen title={say.library.title} />;
}
