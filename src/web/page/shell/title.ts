/** The title of the page: the screen's, and before it how far the person's videos are. */
import { sayNow } from '../sentences/say.ts';

let screen = '';
let progress: number | undefined;

export function showTitle(title: string): void {
  screen = title;
  update();
}

/** @param percent undefined while nothing is made */
export function showProgressInTitle(percent: number | undefined): void {
  progress = percent;
  update();
}

function update(): void {
  const page = screen ? `${screen} · Kinora` : 'Kinora';
  document.title = progress === undefined ? page : sayNow().shell.progressTitle(progress, page);
}
