/** Where the videos of `kinora animate` go. */
import type { Stats } from 'node:fs';
import { access, constants, mkdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { KinoraError } from '../errors.ts';

/** Undefined when there is no such file; a prompt may be too long for a name, or hold a null. */
async function statOf(name: string): Promise<Stats | undefined> {
  return await stat(name).catch(() => undefined);
}

export async function isFile(name: string): Promise<boolean> {
  return (await statOf(name))?.isFile() ?? false;
}

async function isFolder(name: string): Promise<boolean> {
  return (await statOf(name))?.isDirectory() ?? false;
}

export interface OutOptions {
  readonly out?: string;
  readonly thumbnail?: boolean;
  readonly force?: boolean;
}

/** Where a video goes. */
export interface Out {
  readonly video: string;
  readonly thumbnail: string | undefined;
}

/** Names the videos of one call of the command. */
export class Outs {
  readonly folder: string;
  /** The one video that --out names; undefined: each has a name of its own in the folder. */
  readonly #file: string | undefined;
  readonly #options: OutOptions;
  readonly #given = new Set<string>();

  private constructor(folder: string, file: string | undefined, options: OutOptions) {
    this.folder = folder;
    this.#file = file;
    this.#options = options;
  }

  /** @throws KinoraError OUTPUT_UNWRITABLE or INVALID_OPTION for an --out that cannot be */
  static async choose(options: OutOptions, images: readonly string[]): Promise<Outs> {
    const { out } = options;
    if (out === undefined) return new Outs(process.cwd(), undefined, options);
    const isMany = images.length > 1;
    const isMp4 = /\.mp4$/i.test(out);
    if (/[/\\]$/.test(out) || (await isFolder(out)) || (isMany && !isMp4 && !(await isFile(out)))) {
      return new Outs(path.resolve(out), undefined, options);
    }
    if (isMany) {
      throw new KinoraError(
        'INVALID_OPTION',
        `There are ${images.length} pictures, but --out names one file; expected a folder.`,
        { remedy: 'Name a folder, with a "/" behind it.' },
      );
    }
    const file = path.resolve(isMp4 ? out : `${out}.mp4`);
    const folder = path.dirname(file);
    if (!(await isFolder(folder))) {
      throw new KinoraError('OUTPUT_UNWRITABLE', `There is no folder ${folder}.`);
    }
    return new Outs(folder, file, options);
  }

  /** @throws KinoraError OUTPUT_UNWRITABLE when the folder cannot be made or written to */
  async makeFolder(): Promise<void> {
    const { folder } = this;
    try {
      await mkdir(folder, { recursive: true });
      await access(folder, constants.W_OK);
    } catch (cause) {
      throw new KinoraError('OUTPUT_UNWRITABLE', `The folder ${folder} may not be written to.`, { cause });
    }
  }

  /**
   * The named file, or a free name.
   * @throws KinoraError OUTPUT_UNWRITABLE when something is there that --force does not allow to overwrite
   */
  async of(image: string, seed: number): Promise<Out> {
    if (this.#file === undefined) return await this.#freeName(`${path.parse(image).name}-${seed}`);
    const out = this.#withThumbnail(this.#file);
    for (const file of filesOf(out)) await this.#assertFree(file, image);
    return out;
  }

  async #freeName(stem: string): Promise<Out> {
    for (let number = 1; ; number++) {
      const name = `${stem}${number === 1 ? '' : `-${number}`}.mp4`;
      const out = this.#withThumbnail(path.join(this.folder, name));
      const isTaken = async (file: string): Promise<boolean> =>
        this.#given.has(file) || (await statOf(file)) !== undefined;
      const taken = await Promise.all(filesOf(out).map(isTaken));
      if (taken.includes(true)) continue;
      for (const file of filesOf(out)) this.#given.add(file);
      return out;
    }
  }

  async #assertFree(file: string, image: string): Promise<void> {
    const [there, picture] = [await statOf(file), await statOf(image)];
    if (!there || there.isDirectory()) return; // a folder is refused when it is written to
    const isPicture = there.ino === picture?.ino && there.dev === picture.dev;
    if (this.#options.force && !isPicture) return;
    const remedy = isPicture
      ? 'Choose another name with --out.'
      : 'Choose another name with --out, or overwrite it with --force.';
    const what = isPicture ? 'is the picture itself' : 'is there already';
    throw new KinoraError('OUTPUT_UNWRITABLE', `${path.basename(file)} ${what}.`, { remedy });
  }

  #withThumbnail(video: string): Out {
    return {
      video,
      thumbnail: this.#options.thumbnail ? `${video.replace(/\.mp4$/i, '')}.jpg` : undefined,
    };
  }
}

function filesOf({ video, thumbnail }: Out): readonly string[] {
  return thumbnail === undefined ? [video] : [video, thumbnail];
}
