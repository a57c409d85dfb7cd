/** What stands in the place of something: nothing yet, an error, or the wait for it. */
import type { ComponentChildren } from 'preact';
import { Icon, type IconName } from './icon.tsx';

interface NoticeProps {
  readonly icon: IconName;
  readonly title: string;
  /** What to do. */
  readonly hint?: string;
  readonly children?: ComponentChildren;
}

/** An empty state or an error in the place of a screen or a part of one. */
export function Notice({ icon, title, hint, children }: NoticeProps) {
  return (
    <div class="notice">
      <span class="notice-icon">
        <Icon name={icon} />
      </span>
      <h2>{title}</h2>
      {hint ? <p>{hint}</p> : null}
      {children ? <div class="notice-actions">{children}</div> : null}
    </div>
  );
}

/** A sentence about what one did, in its place: `role` makes it heard. */
export function Message({
  kind,
  children,
}: {
  kind: 'error' | 'warning' | 'info';
  children: ComponentChildren;
}) {
  return (
    <div class={`message message-${kind}`} role={kind === 'error' ? 'alert' : 'status'}>
      <Icon name={kind === 'info' ? 'tip' : 'warning'} />
      <div>{children}</div>
    </div>
  );
}

/** The place of something that is being fetched; `label` is read aloud. */
export function Waiting({ label }: { label: string }) {
  return (
    <div class="waiting" role="status">
      <span class="spinner" />
      <span>{label}</span>
    </div>
  );
}
