import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { showTitle } from '../shell/title.ts';

interface ScreenProps {
  readonly title: string;
  /** The heading is for screen readers alone: what is seen says it. */
  readonly isTitleHidden?: boolean;
  /** It has a use for more width than a text has. */
  readonly isWide?: boolean;
  /** Beside the heading. */
  readonly actions?: ComponentChildren;
  readonly children?: ComponentChildren;
}

let isFirstScreen = true;

/** A screen: titles the page, and takes the focus when one navigates to it. */
export function Screen({ title, isTitleHidden = false, isWide = false, actions, children }: ScreenProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!isFirstScreen) heading.current?.focus({ preventScroll: true });
    if (!isFirstScreen) scrollTo(0, 0);
    isFirstScreen = false;
  }, []);
  useEffect(() => showTitle(title), [title]);
  return (
    <div class={isWide ? 'screen screen-wide' : 'screen'}>
      <div class={isTitleHidden ? 'screen-head hidden' : 'screen-head'}>
        <h1 ref={heading} tabIndex={-1}>
          {title}
        </h1>
        {actions}
      </div>
      {children}
    </div>
  );
}
