/**
 * The memory of one device that several packs share. A clip gets all that it would get with the device to itself: for
 * that, the sessions of other packs are released, those of the least recently used pack first.
 */

/** The sessions of one pack. */
export interface MemoryUser {
  /** Of all its open sessions. */
  readonly heldBytes: number;
  /** Releases them until it is loaded again. */
  setAside(): Promise<void>;
}

export class SharedMemory {
  /** Main memory, of which nobody keeps a budget: who loads a pack looks whether there is room for it. */
  readonly isMain: boolean;
  /** What the packs may use together, as it was measured last; undefined where they keep the budget they were opened with. */
  budgetBytes: number | undefined;
  /** Those that hold some, the least recently used first. */
  #users: readonly MemoryUser[] = [];

  constructor(isMain: boolean) {
    this.isMain = isMain;
  }

  /** From now on it is the one that was used last. */
  use(user: MemoryUser): void {
    this.#users = [...this.#othersOf(user), user];
  }

  #othersOf(user: MemoryUser): MemoryUser[] {
    return this.#users.filter((other) => other !== user);
  }

  bytesOfOthers(user: MemoryUser | undefined): number {
    return this.#users.reduce((sum, other) => sum + (other === user ? 0 : other.heldBytes), 0);
  }

  /** Sets the least recently used of the others aside. False when there is none. */
  async makeRoomFor(user: MemoryUser | undefined): Promise<boolean> {
    const [first] = user ? this.#othersOf(user) : this.#users;
    if (!first) return false;
    this.#users = this.#othersOf(first);
    await first.setAside();
    return true;
  }
}
