/**
 * What a core takes at every step besides the sample, by rows of guidance. Knows no family: an input whose first axis is
 * fixed to 1 is the same for both rows, any other has a half for each.
 */
import type { PackSession } from '../residency/pack-session.ts';
import type { ThreadTensor } from '../sessions/thread-protocol.ts';
import type { ThreadTensors } from '../sessions/thread-tensors.ts';
import type { Rows } from './denoising-plan.ts';

/** By the names of the core's inputs. */
type Inputs = Readonly<Record<string, ThreadTensor>>;

/** One row of two is copied when it is first asked for, since a graph reads whole tensors only. */
export class CoreInputs {
  readonly #core: Pick<PackSession, 'inputs'>;
  readonly #inputs: Inputs;
  readonly #hasBothRows: boolean;
  readonly #tensors: ThreadTensors;
  readonly #copies = new Map<Rows, Inputs>();

  constructor(
    core: Pick<PackSession, 'inputs'>,
    inputs: Inputs,
    hasBothRows: boolean,
    tensors: ThreadTensors,
  ) {
    this.#core = core;
    this.#inputs = inputs;
    this.#hasBothRows = hasBothRows;
    this.#tensors = tensors;
  }

  async of(rows: Rows): Promise<Inputs> {
    if (rows === 'both' || !this.#hasBothRows) return this.#inputs;
    const row = this.#copies.get(rows) ?? (await this.#copy(rows === 'unconditional' ? 0 : 1));
    this.#copies.set(rows, row);
    return row;
  }

  async #copy(half: 0 | 1): Promise<Inputs> {
    const row: Record<string, ThreadTensor> = {};
    for (const [name, tensor] of Object.entries(this.#inputs)) {
      const isShared = this.#core.inputs.find((input) => input.name === name)?.dims[0] === 1;
      row[name] = isShared ? tensor : this.#tensors.empty();
      if (!isShared) {
        await this.#tensors.compute([{ target: row[name], terms: [[1, { ...tensor, half }]] }]);
      }
    }
    return row;
  }
}
