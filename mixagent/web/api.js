/* Requests to the service, whose contract is docs/service.md. */
import { texts } from "./texts.js";

/** An answer that is no success. `code` and `field` are the service's; `code` is "offline" where none came. */
export class Problem extends Error {
  constructor({ detail, title, code, field, status }, retryAfterS = null) {
    super(detail ?? title ?? texts.errors.unknown(status));
    Object.assign(this, { code: code ?? "unknown", field, status, retryAfterS });
  }
}

const listeners = new Set();
/** Calls back when the service asks who one is. */
export const onSignIn = (call) => { listeners.add(call); };

/** The address of a path of the service. */
export const address = (path) => new URL(path.replace(/^\//, ""), document.baseURI).href;

async function problemOf(answer) {
  let body = {};
  try { body = await answer.json(); } catch { body = { title: answer.statusText || undefined }; }
  const after = Number(answer.headers.get("Retry-After"));
  return new Problem({ ...body, status: answer.status }, after > 0 ? after : null);
}

/** The answer of the service, which is a success. `isOwn`: a 401 says no more than that what was sent is wrong. */
export async function ask(path, { json, isOwn = false, ...options } = {}) {
  const headers = { Accept: "application/json", ...options.headers };
  if (json !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(address(path), {
      credentials: "same-origin", ...options, headers, body: json === undefined ? options.body : JSON.stringify(json),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "offline", detail: texts.errors.offline });
  }
  if (answer.ok) return answer;
  const problem = await problemOf(answer);
  if (problem.status === 401 && !isOwn) for (const call of listeners) call();
  throw problem;
}

export const get = async (path) => (await ask(path)).json();
export const post = async (path, json, headers) => {
  const answer = await ask(path, { method: "POST", json, headers });
  return answer.status === 204 ? null : answer.json();
};
export const remove = (path) => ask(path, { method: "DELETE" });

/** A job is made once, even where the answer to the first try is lost. */
export async function submit(kind, uploads, options) {
  const key = randomId();
  for (let pause = 500; ; pause *= 2) {
    try {
      return await post("/v1/jobs", { kind, uploads, options }, { "Idempotency-Key": key });
    } catch (problem) {
      const again = problem.code === "offline" || problem.code === "busy";
      if (!again || pause > 8000) throw problem;
      await sleep(problem.retryAfterS ? Math.min(problem.retryAfterS * 1000, 15000) : pause);
    }
  }
}

export const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

/** 32 random hex digits; `crypto.randomUUID` is not there on plain http. */
export const randomId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
