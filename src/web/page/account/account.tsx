import { Screen } from '../parts/screen.tsx';
import { useSay } from '../sentences/say.ts';

export default function Account() {
  const say = useSay();
  return <Screen title={say.account.title} />;
}
