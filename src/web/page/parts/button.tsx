import type { ComponentChildren } from 'preact';
import { Icon, type IconName } from './icon.tsx';

type Kind = 'primary' | 'secondary' | 'quiet' | 'danger';

interface Look {
  /** What a press means: one primary button a screen. Secondary where it is left out. */
  readonly kind?: Kind;
  readonly icon?: IconName;
  readonly isSmall?: boolean;
  readonly children: ComponentChildren;
}

interface ButtonProps extends Look {
  readonly onClick?: (event: MouseEvent) => void;
  readonly type?: 'button' | 'submit';
  readonly isDisabled?: boolean;
  /** Something is under way: it cannot be pressed again, and says so. */
  readonly isBusy?: boolean;
  /** Of a switch: whether it is on. */
  readonly isPressed?: boolean;
}

const classOf = ({ kind = 'secondary', isSmall = false }: Omit<Look, 'children'>): string =>
  `button button-${kind}${isSmall ? ' button-small' : ''}`;

export function Button({ children, icon, onClick, type = 'button', ...rest }: ButtonProps) {
  const { isDisabled = false, isBusy = false, isPressed } = rest;
  return (
    <button
      type={type}
      class={classOf(rest)}
      disabled={isDisabled}
      aria-busy={isBusy}
      aria-disabled={isBusy}
      aria-pressed={isPressed}
      onClick={(event) => (isBusy ? event.preventDefault() : onClick?.(event))}
    >
      {isBusy ? <span class="spinner" /> : icon ? <Icon name={icon} /> : null}
      <span>{children}</span>
    </button>
  );
}

interface LinkProps extends Look {
  readonly href: string;
  /** The name under which the browser keeps what the link leads to. */
  readonly download?: string;
}

export function ButtonLink({ href, download, icon, children, ...look }: LinkProps) {
  return (
    <a class={classOf(look)} href={href} download={download}>
      {icon ? <Icon name={icon} /> : null}
      <span>{children}</span>
    </a>
  );
}

interface IconButtonProps {
  readonly icon: IconName;
  /** What a press does; shown when the pointer rests on it. */
  readonly label: string;
  readonly onClick: (event: MouseEvent) => void;
  readonly isDisabled?: boolean;
  readonly isPressed?: boolean;
}

export function IconButton({ icon, label, onClick, isDisabled = false, isPressed }: IconButtonProps) {
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={label}
      title={label}
      disabled={isDisabled}
      aria-pressed={isPressed}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}

export function IconLink({
  icon,
  label,
  href,
  download,
}: {
  icon: IconName;
  label: string;
  href: string;
  download?: string;
}) {
  return (
    <a class="icon-button" aria-label={label} title={label} href={href} download={download}>
      <Icon name={icon} />
    </a>
  );
}
