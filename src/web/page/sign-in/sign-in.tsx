import { Screen } from '../parts/screen.tsx';
import { useSay } from '../sentences/say.ts';

export default function SignIn() {
  const say = useSay();
  return <Screen title={say.signIn.title} />;
}
