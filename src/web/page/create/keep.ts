/** A drawer of this browser that also takes pictures: IndexedDB, each under a name. What cannot be kept is not kept. */

const storeName = 'drafts';

function openDrawer(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('kinora', 1);
    request.onupgradeneeded = () => request.result.createObjectStore(storeName);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function within<T>(
  mode: IDBTransactionMode,
  use: (store: IDBObjectStore) => IDBRequest<T>,
): Promise<T | undefined> {
  try {
    const drawer = await openDrawer();
    return await new Promise((resolve, reject) => {
      const request = use(drawer.transaction(storeName, mode).objectStore(storeName));
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
      request.transaction?.addEventListener('complete', () => drawer.close());
    });
  } catch {
    return undefined; // a private window, or no space
  }
}

/** Undefined where there is none. Written by this page alone, but maybe by an older one: its fields are taken one by one. */
export async function readKept<T>(name: string): Promise<Partial<T> | undefined> {
  const kept = await within<unknown>('readonly', (store) => store.get(name));
  return typeof kept === 'object' && kept !== null ? (kept as Partial<T>) : undefined;
}

export async function writeKept(name: string, value: unknown): Promise<void> {
  await within('readwrite', (store) => store.put(value, name));
}

/** Throws away all that is kept under other names. */
export async function dropOthers(names: readonly string[]): Promise<void> {
  const kept = await within('readonly', (store) => store.getAllKeys());
  const others = kept?.filter((name) => !names.includes(String(name))) ?? [];
  await Promise.all(others.map((name) => within('readwrite', (store) => store.delete(name))));
}
