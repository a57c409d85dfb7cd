/** A user, role or community: by name where one is known, and by the key that admins write. */
interface WhoProps {
  readonly user: string;
  readonly name: string | null;
}

export function Who({ user, name }: WhoProps) {
  return (
    <span class="who">
      {name === null ? null : <span class="who-name">{name}</span>}
      <code class={name === null ? 'who-name' : 'hint'}>{user}</code>
    </span>
  );
}
