/* Jobs as they are now: by server-sent events, and by asking where these do not come. */
import { address, get, post, remove, submit } from "./api.js";
import { Store, useStore } from "./store.js";
import { useEffect } from "./vendor/preact.js";

const ASK_MS = 1000, ASK_HIDDEN_MS = 5000, STREAM_LATE_MS = 4000;

/** By id: the job, and in `heardAt` when it was told. Null for one that is not there any more. */
export const jobs = new Store({});

export const isFinal = (job) => ["done", "failed", "cancelled"].includes(job?.state);

/** Whether there is something to hear and read of a job: a page of its report may still be written. */
export const isThere = (job) => job?.state === "done" || (job?.state === "running" && Boolean(job.result));

/** Is called with each job that has come to its end while this page was open. */
export const ended = new Set();

function put(job) {
  const before = jobs.value[job.id];
  jobs.set((all) => ({ ...all, [job.id]: { ...job, heardAt: performance.now() } }));
  if (before && !isFinal(before) && isFinal(job)) for (const call of ended) call(job);
  follow();
}

export async function load(id) {
  try {
    put(await get(`/v1/jobs/${id}`));
  } catch (problem) {
    if (problem.status !== 404 && problem.status !== 410) throw problem;
    jobs.set((all) => ({ ...all, [id]: null }));
  }
}

export async function start(kind, uploads, options) {
  const job = await submit(kind, uploads, options);
  put(job);
  return job;
}

export async function cancel(id) {
  await post(`/v1/jobs/${id}/cancel`);
  await load(id);
}

export async function erase(id) {
  await remove(`/v1/jobs/${id}`);
  jobs.set((all) => ({ ...all, [id]: null }));
}

/** A job by id: undefined while it is asked for, null where it is gone. */
export function useJob(id) {
  const job = useStore(jobs, (all) => all[id]);
  useEffect(() => { if (id && jobs.value[id] === undefined) quietly(load(id)); }, [id]);
  return job;
}

/** What cannot be asked now is asked again by the next round. */
const quietly = (promise) => promise.catch(() => {});

const running = () => Object.values(jobs.value).filter((job) => job && !isFinal(job));
let stream = null, lastEvent = null, openedAt = 0, timer = null;

function follow() {
  const isWanted = running().length > 0;
  if (isWanted && !document.hidden) openStream();
  else closeStream();
  if (isWanted && timer === null) timer = setTimeout(round, document.hidden ? ASK_HIDDEN_MS : ASK_MS);
}

function openStream() {
  if (stream || typeof EventSource !== "function") return;
  const after = lastEvent === null ? "" : `?after=${encodeURIComponent(lastEvent)}`;
  stream = new EventSource(address(`/v1/events${after}`), { withCredentials: true });
  openedAt = performance.now();
  for (const kind of ["state", "progress", "end"]) stream.addEventListener(kind, hear);
  stream.onerror = () => { if (stream.readyState === EventSource.CLOSED) closeStream(); };
}

function closeStream() {
  stream?.close();
  stream = null;
}

function hear(event) {
  lastEvent = event.lastEventId || lastEvent;
  const told = JSON.parse(event.data), job = jobs.value[told.job];
  if (!job || isFinal(job)) return;
  if (event.type !== "progress") { quietly(load(told.job)); return; }
  const stages = job.progress?.stages ?? [];
  const known = stages.findIndex((each) => each.name === told.stage);
  const row = { ...stages[known], name: told.stage, state: told.share >= 1 ? "done" : "running", share: told.share, seconds: told.seconds };
  const all = known < 0 ? [...stages, row] : stages.with(known, row);
  const begun = job.state === "queued" ? { state: "running", place: null } : {};
  jobs.set((every) => ({
    ...every,
    [job.id]: { ...job, ...begun, left_s: told.left_s, heardAt: performance.now(), progress: { ...job.progress, stage: told.stage, share: told.share, stages: all } },
  }));
}

const streamWorks = () =>
  stream !== null && (stream.readyState === EventSource.OPEN || performance.now() - openedAt < STREAM_LATE_MS);

/* Where the stream is open, a slow round is enough: it finds what a broken line may have kept back. */
let rounds = 0;
async function round() {
  rounds += 1;
  if (!streamWorks() || rounds % 10 === 0) await Promise.all(running().map((job) => quietly(load(job.id))));
  timer = null;
  follow();
}

addEventListener("visibilitychange", () => {
  if (!document.hidden) for (const job of running()) quietly(load(job.id));
  follow();
});
addEventListener("online", () => { for (const job of running()) quietly(load(job.id)); });
