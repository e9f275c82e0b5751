/* A value that views watch. */
import { useEffect, useRef, useState } from "./vendor/preact.js";

export class Store {
  #listeners = new Set();

  constructor(value) { this.value = value; }

  /** Sets the value, or what a function makes of it. */
  set(next) {
    this.value = typeof next === "function" ? next(this.value) : next;
    for (const call of this.#listeners) call(this.value);
  }

  watch(call) {
    this.#listeners.add(call);
    return () => this.#listeners.delete(call);
  }
}

/** The value of a store, in a view that is drawn anew when what `select` takes of it changes. */
export function useStore(store, select = (value) => value) {
  const [, draw] = useState(0);
  const now = useRef();
  now.current = { select, shown: select(store.value) };
  useEffect(() => {
    const look = (value) => { if (now.current.select(value) !== now.current.shown) draw((n) => n + 1); };
    look(store.value);
    return store.watch(look);
  }, [store]);
  return now.current.shown;
}

/** A value that outlives the page, shared by all tabs; what `kept` gives of it is what is written. */
export function lasting(name, initial, kept = (value) => value) {
  const key = `mixagent.${name}`;
  const store = new Store({ ...initial, ...read(key) });
  let written = JSON.stringify(kept(store.value));
  store.watch((value) => {
    const text = JSON.stringify(kept(value));
    if (text === written) return;
    written = text;
    try { localStorage.setItem(key, text); } catch { /* Full or forbidden: it lasts as long as the page. */ }
  });
  addEventListener("storage", (event) => {
    if (event.key !== key || event.newValue === null) return;
    written = event.newValue;
    const there = JSON.parse(event.newValue);
    store.set((here) => store.merge ? store.merge(here, there) : { ...here, ...there });
  });
  return store;
}

function read(key) {
  try { return JSON.parse(localStorage.getItem(key)) ?? {}; } catch { return {}; }
}
