/** Progress of one clip on stderr: one redrawn line on a terminal, else one line per phase. */
import type { Phase, ProgressEvent } from '../inference/image-to-video.ts';

const labels: Readonly<Record<Phase, string>> = {
  loading: 'Loading the model',
  encoding: 'Looking at the picture',
  denoising: 'Imagining',
  decoding: 'Drawing frames',
  finishing: 'Writing the video',
};
const barCells = 24;
const eraseLine = '\r\u001b[2K';

export class ProgressBar {
  readonly #stream: NodeJS.WriteStream;
  readonly #now: () => number;
  #phase: Phase | null = null;
  #phaseStartedAt = 0;
  #drawn = false;

  constructor(stream: NodeJS.WriteStream, now: () => number = () => performance.now()) {
    this.#stream = stream;
    this.#now = now;
  }

  update({ phase, done, total }: ProgressEvent): void {
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#phaseStartedAt = this.#now();
      if (!this.#stream.isTTY) this.#stream.write(`${labels[phase]} …\n`);
    }
    if (!this.#stream.isTTY) return;
    const filled = total > 0 ? Math.round((barCells * done) / total) : 0;
    const bar = `${'━'.repeat(filled)}${'─'.repeat(barCells - filled)}`;
    const count = total > 1 ? ` ${done}/${total}` : '';
    this.#stream.write(
      `${eraseLine}${labels[phase].padEnd(22)} ${bar}${count}${this.#timeLeft(done, total)}`,
    );
    this.#drawn = true;
  }

  /** Time left in this phase; later phases are short or unknown. */
  #timeLeft(done: number, total: number): string {
    if (done === 0 || done >= total) return '';
    const seconds = (((this.#now() - this.#phaseStartedAt) / done) * (total - done)) / 1000;
    if (seconds < 1) return '';
    return seconds < 100 ? `  ${Math.ceil(seconds)} s left` : `  ${Math.ceil(seconds / 60)} min left`;
  }

  /** Erases the bar, so that the next output begins on a clean line. */
  clear(): void {
    if (this.#drawn) this.#stream.write(eraseLine);
    this.#drawn = false;
    this.#phase = null;
  }
}
