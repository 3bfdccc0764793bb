// A value that is replaced, never changed, and the components that watch it.

import { useSyncExternalStore } from 'react';

export class Store<T> {
  #value: T;
  readonly #watchers = new Set<() => void>();

  constructor(value: T) {
    this.#value = value;
  }

  readonly get = () => this.#value;

  readonly watch = (watcher: () => void) => {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  };

  set(value: T) {
    if (value === this.#value) return;
    this.#value = value;
    for (const watcher of [...this.#watchers]) watcher();
  }
}

export const useStore = <T>(store: Store<T>): T => useSyncExternalStore(store.watch, store.get);
