/* The songs on the desk: from the drop to the job, and over a reload. */
import { remove } from "./api.js";
import { DEFAULTS, albumOptionsOf, optionsOf } from "./choices.js";
import * as live from "./live.js";
import { lasting } from "./store.js";
import * as uploads from "./uploads.js";

const AT_ONCE = 2;

/* Of a song that was not sent whole, what is kept lets the same file go on where it stopped. */
const kept = ({ songs, choices, album }) => ({
  choices, album,
  songs: songs.map(({ key, name, bytes, modified, uploadId, upload, heard, verdict, next, preview, jobs }) =>
    ({ key, name, bytes, modified, uploadId, upload, heard, verdict, next, preview, jobs })),
});

/** Songs in their order, the choices for all of them, and whether they are an album. */
export const desk = lasting("desk", { songs: [], choices: { ...DEFAULTS }, album: false }, kept);
const files = new Map(), stops = new Map();

/* Another tab's desk, with what is being sent from this one. */
desk.merge = (here, there) => {
  const sending = here.songs.filter((song) => files.has(song.key));
  const others = there.songs.map((song) => sending.find((each) => each.key === song.key) ?? song);
  const mine = sending.filter((song) => !there.songs.some((each) => each.key === song.key));
  return { ...there, songs: [...others, ...mine] };
};

export const songOf = (key) => desk.value.songs.find((song) => song.key === key);

export function change(key, values) {
  desk.set((all) => ({ ...all, songs: all.songs.map((song) => (song.key === key ? { ...song, ...values } : song)) }));
}

export const choose = (values) => desk.set((all) => ({ ...all, choices: { ...all.choices, ...values } }));

/** Takes files; one that was broken off goes on where it was. */
export function drop(dropped) {
  for (const file of dropped) {
    const known = desk.value.songs.find((song) => isSame(song, file) && song.upload?.state !== "ready");
    const key = known?.key ?? `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 10)}`;
    files.set(key, file);
    if (known) change(key, { problem: null, sent: known.sent ?? 0 });
    else {
      const song = { key, name: nameOf(file), bytes: file.size, modified: file.lastModified, sent: 0, upload: null, jobs: [] };
      desk.set((all) => ({ ...all, songs: [...all.songs, song] }));
    }
  }
  pump();
}

const nameOf = (file) => file.name;
const isSame = (song, file) => song.bytes === file.size && song.modified === file.lastModified && song.name === nameOf(file);

/** Whether a song's file is being sent, or waits for it, in this tab. */
export const isSending = (song) => files.has(song.key);

function pump() {
  for (const song of desk.value.songs) {
    if (stops.size >= AT_ONCE) return;
    if (files.has(song.key) && !stops.has(song.key)) run(song.key);
  }
}

async function run(key) {
  const file = files.get(key), stop = new AbortController();
  stops.set(key, stop);
  try {
    const upload = await sendWhole(key, file, stop.signal);
    change(key, { upload, problem: upload.problem });
  } catch (problem) {
    if (problem.name !== "AbortError") change(key, { problem: { detail: problem.message } });
  } finally {
    files.delete(key);
    stops.delete(key);
    desk.set((all) => ({ ...all }));
    pump();
  }
}

async function sendWhole(key, file, signal) {
  let id = songOf(key)?.uploadId;
  const onSent = (sent) => change(key, { sent });
  if (id) {
    try { await uploads.send(id, file, onSent, signal); } catch (problem) {
      if (![404, 410].includes(problem.status)) throw problem;
      id = null;
    }
  }
  if (!id) {
    id = await uploads.begin(file, signal);
    change(key, { uploadId: id });
    await uploads.send(id, file, onSent, signal);
  }
  change(key, { sent: file.size, isChecked: false });
  return uploads.checked(id, signal);
}

const judging = new Set();

/** Asks what is found, which does not hang on choices, and then what would be done, with these as they are. */
export async function judge(key) {
  const song = songOf(key);
  if (song?.upload?.state !== "ready" || judging.has(key)) return;
  const before = song.next;
  judging.add(key);
  try {
    if (!song.verdict && !song.heard) change(key, { heard: (await live.start("analyze", [song.upload.id], {})).id });
    const job = await live.start("master", [song.upload.id], { ...judgedBy(desk.value.choices), dry_run: true });
    change(key, { next: job.id, problem: null });
    if (before && before !== job.id) live.erase(before).catch(() => {});
  } catch (problem) {
    change(key, { problem: { detail: problem.message, field: problem.field } });
  }
  judging.delete(key);
}

/** A verdict has come: it takes the place of the one before. */
export function settle(key, id) {
  const { verdict, heard } = songOf(key), isDone = live.jobs.value[id]?.state === "done";
  change(key, { verdict: id, next: null, ...(isDone ? { heard: null } : {}) });
  for (const old of [verdict, isDone && heard]) if (old && old !== id) live.erase(old).catch(() => {});
}

/* A verdict does not hang on what only the files are about. */
function judgedBy(choices) {
  const { output_format, bit_depth, sample_rate, write_stems, ...rest } = optionsOf(choices);
  return rest;
}

let later = null;
/** The choices have changed: all verdicts are asked for again, once the hand rests. */
export function judgeAgain() {
  clearTimeout(later);
  later = setTimeout(() => { for (const song of desk.value.songs) judge(song.key); }, 900);
}

/** Renders the loudest half minute. */
export async function listenFirst(key) {
  const song = songOf(key), before = song.preview;
  const job = await live.start("master", [song.upload.id], { ...judgedBy(desk.value.choices), preview: 30 });
  change(key, { preview: job.id });
  if (before && before !== job.id) live.erase(before).catch(() => {});
}

/** Masters a song; gives the job. */
export async function master(key, choices = desk.value.choices) {
  const song = songOf(key);
  const job = await live.start("master", [song.upload.id], optionsOf(choices));
  change(key, { jobs: [...songOf(key).jobs, job.id] });
  return job;
}

export async function masterAlbum(songs, choices = desk.value.choices) {
  return live.start("album", songs.map((song) => song.upload.id), albumOptionsOf(choices));
}

/** Takes a song off the desk; an upload that nothing was made of is deleted too. */
export function take(key) {
  const song = songOf(key);
  stops.get(key)?.abort();
  files.delete(key);
  desk.set((all) => ({ ...all, songs: all.songs.filter((each) => each.key !== key) }));
  for (const id of [song.heard, song.verdict, song.next, song.preview]) if (id) live.erase(id).catch(() => {});
  if (song.uploadId && !song.jobs.length) remove(`/v1/uploads/${song.uploadId}`).catch(() => {});
}

export function move(key, by) {
  desk.set((all) => {
    const at = all.songs.findIndex((song) => song.key === key), to = at + by;
    if (to < 0 || to >= all.songs.length) return all;
    const songs = [...all.songs];
    [songs[at], songs[to]] = [songs[to], songs[at]];
    return { ...all, songs };
  });
}

/** After a reload: songs that were sent whole are checked and judged, where that is not known yet. */
export function wake() {
  for (const song of desk.value.songs) {
    if (song.uploadId && song.upload?.state !== "ready") wakeOne(song);
  }
}

async function wakeOne(song) {
  try {
    const upload = await uploads.checked(song.uploadId, AbortSignal.timeout(3000));
    change(song.key, { upload, sent: upload.received_bytes, problem: upload.problem });
  } catch {
    // It is not here whole: the same file, dropped again, goes on.
  }
}
