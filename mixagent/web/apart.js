/* The song that is taken apart. */
import { lasting } from "./store.js";
import { begin, checked, send } from "./uploads.js";

/** One song at a time: `{name, bytes, sent, upload, job}`, or null. */
export const stems = lasting("apart", { song: null });
let stop = null;

export const isSending = () => stop !== null;

const change = (values) => stems.set(({ song }) => ({ song: song && { ...song, ...values } }));

export async function drop([file]) {
  stop?.abort();
  const mine = new AbortController();
  stop = mine;
  stems.set({ song: { name: file.name, bytes: file.size, sent: 0, upload: null, job: null } });
  try {
    const id = await begin(file, mine.signal);
    await send(id, file, (sent) => change({ sent }), mine.signal);
    const upload = await checked(id, mine.signal);
    change({ upload, problem: upload.problem });
  } catch (problem) {
    if (problem.name !== "AbortError") change({ problem: { detail: problem.message } });
  }
  if (stop === mine) stop = null;
}

export function takeAway() {
  stop?.abort();
  stop = null;
  stems.set({ song: null });
}
