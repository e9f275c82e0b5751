/* Resumable uploads by tus 1.0: what is lost on the way is sent again from where the service has it. */
import { address, get, Problem, sleep } from "./api.js";
import { texts } from "./texts.js";

const TUS = { "Tus-Resumable": "1.0.0" };
const LEAST_BYTES = 256 * 1024, MOST_BYTES = 16 * 1024 * 1024, PIECE_MS = 700;
const LONGEST_PAUSE_MS = 15000;

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

async function tus(path, options) {
  let answer;
  try {
    answer = await fetch(address(path), { credentials: "same-origin", ...options, headers: { ...TUS, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "offline", detail: texts.errors.offline });
  }
  if (answer.ok) return answer;
  let body = {};
  try { body = await answer.json(); } catch { /* An answer to HEAD has none. */ }
  throw new Problem({ ...body, status: answer.status });
}

/** Makes an upload; gives its id. */
export async function begin(file, signal) {
  const answer = await tus("/v1/tus", {
    method: "POST", signal,
    headers: { "Upload-Length": String(file.size), "Upload-Metadata": `filename ${base64(file.name)}` },
  });
  return new URL(answer.headers.get("Location"), address("/v1/tus")).pathname.split("/").filter(Boolean).at(-1);
}

/** Sends what the service does not have yet, however often the line breaks. `onSent` is told the bytes. */
export async function send(id, file, onSent, signal) {
  let piece = LEAST_BYTES, pause = 500, at = null;
  for (;;) {
    try {
      at ??= await offsetOf(id, signal);
      onSent(at);
      if (at >= file.size) return;
      const begun = performance.now();
      const body = file.slice(at, at + piece);
      const answer = await tus(`/v1/tus/${id}`, {
        method: "PATCH", signal, body,
        headers: { "Upload-Offset": String(at), "Content-Type": "application/offset+octet-stream" },
      });
      at = Number(answer.headers.get("Upload-Offset"));
      piece = Math.min(Math.max(piece * PIECE_MS / Math.max(performance.now() - begun, 20), LEAST_BYTES), MOST_BYTES);
      pause = 500;
    } catch (problem) {
      if (!isWorthAnotherTry(problem)) throw problem;
      at = null;
      await sleep(pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }
}

const isWorthAnotherTry = (problem) =>
  problem.code === "offline" || [408, 409, 423, 429, 460, 502, 503, 504].includes(problem.status);

async function offsetOf(id, signal) {
  const answer = await tus(`/v1/tus/${id}`, { method: "HEAD", signal });
  return Number(answer.headers.get("Upload-Offset"));
}

/** The upload once it was checked: ready, or refused with a problem. */
export async function checked(id, signal) {
  for (let pause = 100; ; pause = Math.min(pause * 1.5, 1000)) {
    if (signal.aborted) throw new DOMException("", "AbortError");
    try {
      const upload = await get(`/v1/uploads/${id}`);
      if (upload.state === "ready" || upload.state === "refused") return upload;
    } catch (problem) {
      if (problem.code !== "offline") throw problem;
    }
    await sleep(pause);
  }
}
